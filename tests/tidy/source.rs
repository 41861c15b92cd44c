//! Rust files as the checkers see them.

use std::fs;
use std::path::Path;

/// One Rust file.
pub struct Source {
    /// From the repository, with `/`.
    pub path: String,
    pub text: String,
    /// `text` with comments and literals blanked.
    pub code: String,
    /// `code` without what is under `#[cfg(test)]`; nothing in files of tests.
    pub production: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = without_literals(text);
        let production = if is_for_tests(path) { String::new() } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, production }
    }

    /// The folder or file directly under `src`.
    pub fn room(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    pub fn at(&self, offset: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, self.text[..offset].matches('\n').count() + 1)
    }
}

/// What a checker finds in all Rust files under a folder.
pub fn check(folder: &str, checker: fn(&Source) -> Vec<String>) -> Vec<String> {
    let mut paths = Vec::new();
    collect(Path::new(folder), &mut paths);
    assert!(!paths.is_empty(), "no source under {folder}");
    paths.sort();
    paths.iter().flat_map(|path| checker(&Source::new(path, &read(Path::new(path))))).collect()
}

/// Tests run in the repository's root.
fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path.to_str().expect("paths are ASCII").replace('\\', "/"));
        }
    }
}

/// The names of the folders in a folder.
pub fn folders(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    paths
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().expect("a name").display().to_string())
        .collect()
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of tests are told by their name.
fn is_for_tests(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let named = name == "tests.rs" || name.starts_with("test_") || name.ends_with("_tests.rs");
    named || path.contains("/tests/")
}

/// Identifiers, keywords and numbers, with their places.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = code.as_ptr() as usize;
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - start, word))
}

/// Where the item, or the group in braces, that begins at `from` ends: behind its `;` or its closing brace.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == '}' || c == ';') {
            return from + at + 1;
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = code.to_owned();
    while let Some(at) = kept.find(MARK) {
        let end = item_end(&kept, at + MARK.len());
        let blank = blanked(&kept[at..end]);
        kept.replace_range(at..end, &blank);
    }
    kept
}

fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    while let Some(first) = text[code.len()..].chars().next() {
        let rest = &text[code.len()..];
        match literal_length(rest) {
            Some(length) => code.push_str(&blanked(&rest[..length])),
            None => code.push(first),
        }
    }
    code
}

/// As many bytes and lines as before.
fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The length of the comment or literal that `rest` begins with.
fn literal_length(rest: &str) -> Option<usize> {
    let until =
        |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let opens = raw[hashes..].starts_with('"');
        return opens.then(|| until(hashes + 2, &format!("\"{}", "#".repeat(hashes))));
    }
    let mut inside = rest.chars().skip(1);
    let is_literal = match rest.chars().next()? {
        '"' => true,
        // Else it is a lifetime.
        '\'' => inside.next() == Some('\\') || inside.next() == Some('\''),
        _ => false,
    };
    is_literal.then(|| quoted_length(rest))
}

fn quoted_length(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if Some(c) == quote {
            return at + 1;
        }
    }
    rest.len()
}
