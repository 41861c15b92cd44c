//! Every link between pages leads to a file, and to a heading of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::read;

/// The map: every page of the folder is linked from it.
const MAP: &str = "docs/README.md";

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for target in
            targets(&text).filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&page).parent().unwrap_or(Path::new(""));
            let file = if file.is_empty() { PathBuf::from(&page) } else { folder.join(file) };
            let is_page = file.extension().is_some_and(|kind| kind == "md");
            let leads = file.exists()
                && (heading.is_empty()
                    || !is_page
                    || headings(&read(&file.to_string_lossy())).any(|h| h == heading));
            if !leads {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n  {}", broken.join("\n  "));
}

#[test]
fn the_map_has_every_page() {
    let map = read(MAP);
    let linked: Vec<&str> =
        targets(&map).map(|target| target.split('#').next().unwrap_or_default()).collect();
    let lost: Vec<String> = pages()
        .into_iter()
        .filter_map(|page| page.strip_prefix("docs/").map(str::to_owned))
        .filter(|page| page != "README.md" && !linked.contains(&page.as_str()))
        .collect();
    assert!(lost.is_empty(), "{MAP} does not lead to {lost:?}");
}

/// README and all below docs.
fn pages() -> Vec<String> {
    let mut found = vec!["README.md".to_owned()];
    collect(Path::new("docs"), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

/// What stands behind `](`, outside code.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()))
}

/// As GitHub makes anchors of them.
fn headings(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines = text.split("```").step_by(2).flat_map(str::lines);
    lines.filter(|line| line.starts_with('#')).map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}
