//! Secrets come from three places and are never shown.

use std::path::Path;

use super::super::parse;
use super::{mistakes, read, with};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

fn auth(secret: &str) -> String {
    with(&["auth"], &format!("[auth.jwt]\nalgorithms = [\"HS256\"]\nsecret = {secret}\n"))
}

#[test]
fn a_secret_can_stand_in_the_file_in_the_environment_or_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("jwt"), format!("{SECRET}\n")).expect("written");
    for written in [
        format!("{SECRET:?}"),
        "\"${JWT}\"".into(),
        "{ file = \"jwt\" }".into(),
        "{ file = \"${NAME}\" }".into(),
    ] {
        let env = |name: &str| match name {
            "JWT" => Some(SECRET.to_owned()),
            "NAME" => Some("jwt".to_owned()),
            _ => None,
        };
        let config = parse(&auth(&written), &folder.path().join("t.toml"), &env).expect("no mistake");
        let own = folder.path().join("jwt");
        let from_file = written.contains("file");
        assert_eq!(config.files, from_file.then_some(own).into_iter().collect::<Vec<_>>(), "{written}");
        let crate::config::KeySource::Secret(secret) = &config.auth.key else { panic!("a secret") };
        assert_eq!(secret.expose(), SECRET, "{written}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn a_missing_variable_or_file_is_named() {
    insta::assert_snapshot!(mistakes(&auth("\"${JWT_SECRET}\"")), @r#"
    t.toml:3:10: error: auth.jwt.secret: the environment variable JWT_SECRET is not set
     3 | secret = "${JWT_SECRET}"
       |          ^^^^^^^^^^^^^^^
    help: set it with `export JWT_SECRET=…`, or write the value here

    1 error
    "#);
    insta::assert_snapshot!(mistakes(&auth("{ file = \"no/such/file\" }")), @r#"
    t.toml:3:19: error: auth.jwt.secret.file: cannot read the file: No such file or directory (os error 2)
     3 | secret = { file = "no/such/file" }
       |                   ^^^^^^^^^^^^^^
    help: name a readable text file, relative to the configuration's folder

    1 error
    "#);
}

#[test]
fn no_mistake_shows_a_secret() {
    let admin = |line: &str| with(&["server"], &format!("[server]\nlisten = \"127.0.0.1:1\"\n{line}\n"));
    let stripe = |line: &str| with(&["stripe"], &format!("[stripe]\n{line}\n"));
    for text in [
        admin("admin_token = \"hunter2\""),
        admin("admin_tokn = \"hunter2\""),
        admin("admin_token = [\"hunter2\"]"),
        admin("admin_token = { value = \"hunter2\" }"),
        admin("admin_token = \"hunter2${NO}\""),
        admin("admin_token = \"hunter2"),
        stripe("webhook_secrets = [\"hunter2\", \"\"]"),
        stripe("webhook_secret = \"hunter2\""),
        stripe("secret_key = \"hunter2\", x"),
        with(&["stripe"], "stripe = { secret_key = \"hunter2\", webhook_secrets = [], moed = \"live\" }\n"),
        with(&["auth"], "auth = { jwt = { algorithms = [\"HS265\"], secret = \"hunter2\" } }\n"),
        auth("\"hunter2\""),
        auth("\"\"\"\nhunter2\n\"\"\""),
        auth("hunter2"),
    ] {
        let mistakes = mistakes(&text);
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
}

#[test]
fn variables_work_in_any_string() {
    let text = with(&["server"], "[server]\nlisten = \"${HOST}:1\"\nmax_body = \"${SIZE}\"\n");
    let env = |name: &str| match name {
        "HOST" => Some("127.0.0.1".to_owned()),
        "SIZE" => Some("1MiB".to_owned()),
        _ => None,
    };
    let config = parse(&text, Path::new("t.toml"), &env).expect("no mistake");
    assert_eq!(config.server.max_body_bytes, 1 << 20);
    assert!(read(&text).is_err());
}
