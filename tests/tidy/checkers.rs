//! The checkers: each answers where a file breaks its rule.

use crate::source::{Source, item_end, words};

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 120;

/// Rooms and their floors, as `src/lib.rs` tells them. `sandbox` stands apart.
const FLOORS: &[(&str, u8)] = &[
    ("cli", 6),
    ("server", 6),
    ("gateway", 5),
    ("api", 5),
    ("pages", 5),
    ("billing", 4),
    ("reporting", 4),
    ("customers", 3),
    ("fleet", 2),
    ("handover", 2),
    ("ledger", 2),
    ("store", 2),
    ("auth", 2),
    ("stripe", 2),
    ("config", 2),
    ("telemetry", 2),
    ("domain", 1),
    ("metrics", 1),
    ("problem", 1),
    ("clock", 1),
    ("csv", 1),
    ("live", 1),
    ("news", 1),
    ("priority", 1),
    ("seal", 1),
    ("sharded", 1),
    ("tls", 1),
];

/// Arrows that no floor explains: a command starts the server, only these two start a sandbox, the clock tells the
/// domain's time, and metrics are counted in shards.
const OTHER_ARROWS: &[(&str, &str)] = &[
    ("cli", "server"),
    ("cli", "sandbox"),
    ("server", "sandbox"),
    ("clock", "domain"),
    ("metrics", "sharded"),
];

/// What the domain must not name.
const IMPURE: &str = "SystemTime Instant tokio tracing metrics METRICS async Mutex RwLock fs net";

/// Macros that are for trying things out.
const BANNED_MACROS: &[&str] = &["todo", "unimplemented", "dbg", "println", "print"];

/// Who may name an error's status beside `src/problem.rs`.
const OWN_STATUSES: &[&str] = &[
    "src/sandbox/",            // answers as Stripe does, not as we do
    "src/api/admin/health.rs", // health probes read the status alone
];

/// Ways to write a status as a number.
const STATUS_NUMBERS: &[&str] =
    &["status = ", "status: ", "::build(", "from_u16(", "HTTPStatus(", "respond_error("];

pub fn arrows_up(source: &Source) -> Vec<String> {
    let from = source.room();
    if ["lib", "main"].contains(&from) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if from != "sandbox" && floor(from).is_none() {
        found.push(source.at(0, "a room without a floor; give it one in tests/tidy and in src/lib.rs"));
    }
    for (at, to) in rooms_named(&source.production) {
        let down = floor(from).zip(floor(to)).is_some_and(|(from, to)| from > to);
        if from != to && !down && !OTHER_ARROWS.contains(&(from, to)) {
            found.push(source.at(at, &format!("{from} imports {to}")));
        }
    }
    for (at, levels) in chains_of_super(&source.production) {
        if levels >= depth(&source.path) {
            found.push(source.at(at, "leaves its room by super; write crate::ROOM"));
        }
    }
    found
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The rooms of `crate::ROOM` and `crate::{ROOM, ROOM}`, with their places.
fn rooms_named(code: &str) -> Vec<(usize, &str)> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let path = at + "crate::".len();
        if !code[path..].starts_with('{') {
            rooms.extend(words(&code[path..]).next().map(|(_, room)| (at, room)));
            continue;
        }
        let group = &code[path..item_end(code, path)];
        for (inside, room) in words(group) {
            let before = &group[..inside];
            let outermost = before.matches('{').count() == before.matches('}').count() + 1;
            if outermost && before.trim_end().ends_with(['{', ',']) {
                rooms.push((at, room));
            }
        }
    }
    rooms
}

/// `super::super::` and the like, with their lengths.
fn chains_of_super(code: &str) -> Vec<(usize, usize)> {
    let begins = |at: usize| !code[..at].ends_with("super::");
    let length = |at: usize| {
        let rest = &code[at..];
        (rest.len() - rest.trim_start_matches("super::").len()) / "super::".len()
    };
    code.match_indices("super::").filter(|(at, _)| begins(*at)).map(|(at, _)| (at, length(at))).collect()
}

/// How many modules a file lies below the crate.
fn depth(path: &str) -> usize {
    path.matches('/').count() - usize::from(path.ends_with("/mod.rs"))
}

pub fn impurities(source: &Source) -> Vec<String> {
    if source.room() != "domain" {
        return Vec::new();
    }
    let is_impure = |word: &str| IMPURE.split(' ').any(|impure| impure == word);
    let impure = words(&source.production).filter(|(_, word)| is_impure(word));
    impure.map(|(at, word)| source.at(at, word)).collect()
}

pub fn long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let too_long = lines > MAX_FILE_LINES;
    too_long.then(|| format!("{}: {lines} lines", source.path)).into_iter().collect()
}

pub fn long_functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    let functions = words(code).filter(|(at, word)| {
        let rest = code[at + word.len()..].trim_start();
        *word == "fn" && rest.starts_with(|first: char| first.is_alphabetic() || first == '_')
    });
    let lines = |at: usize| code[at..item_end(code, at)].matches('\n').count() + 1;
    functions
        .filter(|(at, _)| lines(*at) > MAX_FUNCTION_LINES)
        .map(|(at, _)| source.at(at, &format!("a function of {} lines", lines(at))))
        .collect()
}

pub fn wide_lines(source: &Source) -> Vec<String> {
    // A row of a table cannot be broken; tests may quote tokens and files.
    let row = |line: &str| line.starts_with("//! |");
    let lines = source.text.lines().zip(source.production.lines()).enumerate();
    let code = lines.filter(|(_, (line, production))| {
        !row(line) && (line.starts_with("//") || !production.trim().is_empty())
    });
    let columns = code.map(|(index, (line, _))| (index, line.chars().count()));
    let wide = columns.filter(|(_, columns)| *columns > MAX_COLUMNS);
    wide.map(|(index, columns)| format!("{}:{}: {columns} columns", source.path, index + 1)).collect()
}

pub fn leftovers(source: &Source) -> Vec<String> {
    let code = &source.production;
    let macros = words(code)
        .filter(|(at, word)| BANNED_MACROS.contains(word) && code[at + word.len()..].starts_with('!'));
    let unwraps = code.match_indices(".unwrap()");
    macros.chain(unwraps).map(|(at, what)| source.at(at, what)).collect()
}

pub fn statuses(source: &Source) -> Vec<String> {
    let exempt = OWN_STATUSES.iter().any(|path| source.path.starts_with(path));
    if exempt || source.path == "src/problem.rs" {
        return Vec::new();
    }
    let code = &source.production;
    let constants = code.match_indices("StatusCode::").filter_map(|(at, prefix)| {
        let (_, name) = words(&code[at + prefix.len()..]).next()?;
        let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (is_constant && !matches!(name, "OK" | "NO_CONTENT")).then(|| source.at(at, name))
    });
    let numbers =
        STATUS_NUMBERS.iter().flat_map(|before| code.match_indices(before)).filter_map(|(at, before)| {
            let number = code.get(at + before.len()..at + before.len() + 3)?.parse().ok()?;
            (400..=599_u16).contains(&number).then(|| source.at(at, &number.to_string()))
        });
    constants.chain(numbers).collect()
}

pub fn unexplained_dependencies(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        }
        let Some((name, value)) = line.split_once(" = ") else { continue };
        let explained = value.split_once(" # ").is_some_and(|(_, why)| !why.trim().is_empty());
        if in_dependencies && !line.starts_with('#') && !explained {
            found.push(format!("Cargo.toml:{}: {name}", index + 1));
        }
    }
    found
}
