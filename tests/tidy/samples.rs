//! Every checker on small samples: one that breaks its rule, and one beside it that does not.

use crate::checkers::{
    arrows_up, impurities, leftovers, long_files, long_functions, statuses, unexplained_dependencies,
    wide_lines,
};
use crate::source::Source;

#[track_caller]
fn finds(checker: fn(&Source) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
    assert_eq!(checker(&Source::new(path, text)), expected, "{path}: {text}");
}

#[test]
fn an_arrow_that_points_up_or_along_a_floor_is_found() {
    let path = "src/store/mod.rs";
    finds(arrows_up, path, "use crate::domain::units;\nuse crate::store::Store;\n", &[]);
    finds(
        arrows_up,
        path,
        "\nuse crate::gateway::Gateway;\n",
        &["src/store/mod.rs:2: store imports gateway"],
    );
    finds(arrows_up, path, "use crate::{domain, auth};\n", &["src/store/mod.rs:1: store imports auth"]);
    let grouped = "use crate::{domain::{money, api}, metrics};\n";
    finds(arrows_up, path, grouped, &[]);
    finds(
        arrows_up,
        "src/problem.rs",
        "use crate::domain::x;",
        &["src/problem.rs:1: problem imports domain"],
    );
    finds(arrows_up, "src/cli/run.rs", "use crate::server::Server;", &[]);
    finds(arrows_up, "src/server/mod.rs", "use crate::cli::x;", &["src/server/mod.rs:1: server imports cli"]);
}

#[test]
fn the_sandbox_stands_apart() {
    let path = "src/sandbox/mod.rs";
    finds(arrows_up, path, "use crate::sandbox::x;", &[]);
    finds(arrows_up, path, "use crate::domain::x;", &["src/sandbox/mod.rs:1: sandbox imports domain"]);
    finds(arrows_up, "src/server/mod.rs", "use crate::sandbox::x;", &[]);
    finds(arrows_up, "src/api/mod.rs", "use crate::sandbox::x;", &["src/api/mod.rs:1: api imports sandbox"]);
}

#[test]
fn an_arrow_in_disguise_is_found() {
    let leaves = |path: &str| format!("{path}:1: leaves its room by super; write crate::ROOM");
    finds(arrows_up, "src/auth/key.rs", "use super::claims;", &[]);
    finds(arrows_up, "src/auth/key.rs", "use super::super::api;", &[&leaves("src/auth/key.rs")]);
    finds(arrows_up, "src/auth/mod.rs", "use super::api;", &[&leaves("src/auth/mod.rs")]);
    let homeless = "src/attic/mod.rs:1: a room without a floor; give it one in tests/tidy and in src/lib.rs";
    finds(arrows_up, "src/attic/mod.rs", "", &[homeless]);
}

#[test]
fn arrows_in_comments_strings_and_tests_do_not_count() {
    let text = "//! [`crate::api`]\nconst S: &str = r#\"use \"crate::api\"#; /* crate::api */\n\
                #[cfg(test)]\nmod tests { const C: char = '}'; use crate::api::x; }\n";
    finds(arrows_up, "src/store/mod.rs", text, &[]);
    let behind = format!("{text}fn f<'a>() {{ crate::api::x() }}");
    finds(arrows_up, "src/store/mod.rs", &behind, &["src/store/mod.rs:5: store imports api"]);
    finds(arrows_up, "src/store/tests.rs", "use crate::api::x;", &[]);
}

#[test]
fn a_clock_in_the_domain_is_found() {
    let text = "use std::time::Duration;\nuse std::time::Instant;\n";
    finds(impurities, "src/domain/rate.rs", text, &["src/domain/rate.rs:2: Instant"]);
    finds(impurities, "src/domain/rate.rs", "struct Instants; // async", &[]);
    finds(impurities, "src/auth/cache.rs", text, &[]);
}

#[test]
fn long_files_functions_and_lines_are_found() {
    finds(long_files, "src/a.rs", &"\n".repeat(400), &[]);
    finds(long_files, "src/a.rs", &"\n".repeat(401), &["src/a.rs: 401 lines"]);
    let function = |lines: usize| format!("\nfn f(_: [u8; 4]) {{\n{}}}\n", "    ();\n".repeat(lines - 2));
    finds(long_functions, "src/a.rs", &function(70), &[]);
    finds(long_functions, "src/a.rs", &function(71), &["src/a.rs:2: a function of 71 lines"]);
    let brace = function(71).replacen("();", "'}';", 1);
    finds(long_functions, "src/a.rs", &brace, &["src/a.rs:2: a function of 71 lines"]);
    finds(wide_lines, "src/a.rs", &"ü".repeat(120), &[]);
    finds(wide_lines, "src/a.rs", &format!("\n{}", "ü".repeat(121)), &["src/a.rs:2: 121 columns"]);
}

#[test]
fn leftovers_are_found() {
    finds(leftovers, "src/a.rs", "\nlet x = y.unwrap();", &["src/a.rs:2: .unwrap()"]);
    finds(leftovers, "src/a.rs", "todo!(); dbg!(x);", &["src/a.rs:1: todo", "src/a.rs:1: dbg"]);
    finds(leftovers, "src/a.rs", "println!(\"{x}\");", &["src/a.rs:1: println"]);
    finds(leftovers, "src/a.rs", "x.unwrap_or(1); eprintln!(\"todo!() .unwrap()\"); my_todo!();", &[]);
    finds(leftovers, "src/a.rs", "#[cfg(test)]\nuse x::y;\n#[cfg(test)]\nmod tests { x.unwrap(); }", &[]);
}

#[test]
fn a_status_away_from_its_place_is_found() {
    let text = "StatusCode::NOT_FOUND";
    finds(statuses, "src/api/mod.rs", text, &["src/api/mod.rs:1: NOT_FOUND"]);
    finds(statuses, "src/problem.rs", text, &[]);
    finds(statuses, "src/sandbox/http.rs", text, &[]);
    finds(statuses, "src/api/mod.rs", "StatusCode::OK; StatusCode::from_u16(status); status == 429", &[]);
    finds(statuses, "src/gateway/mod.rs", "answer.status = 404;", &["src/gateway/mod.rs:1: 404"]);
    finds(statuses, "src/gateway/mod.rs", "ResponseHeader::build(503, None)", &["src/gateway/mod.rs:1: 503"]);
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Group.\na = \"1\" # why\nb = { version = \"2\" }\n\
                    [dev-dependencies]\nc = \"3\" #\n[lints.rust]\nd = \"e\"\n";
    assert_eq!(unexplained_dependencies(manifest), ["Cargo.toml:6: b", "Cargo.toml:8: c"]);
}
