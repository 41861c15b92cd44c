//! Every command with its arguments, as clap knows them.

use clap::{Arg, Command};

use crate::{Written as _, assert_page, cell, heading};

const ABOUT: &str = "\
One binary, `tollgate`. Results go to standard output, all else to standard error. Exit codes: 0 done, 1
failed, 2 usage, 64 bad configuration. Commands that read what a gateway keeps work while it runs, and need
the same configuration file.
";

#[test]
fn the_page_of_commands_is_what_the_command_line_takes() {
    let mut page = heading("Commands", "src/cli", ABOUT);
    let mut line = tollgate::cli::command_line();
    line.build();
    for command in line.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut page, "tollgate", command);
    }
    assert_page("docs/reference/commands.md", &page);
}

/// One command, or those below it.
fn describe(page: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if !below.is_empty() {
        for below in below {
            describe(page, &name, below);
        }
        return;
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set() && is_ours(arg)).collect();
    let usage: Vec<String> = shown.iter().map(|arg| usage(arg)).collect();
    let line = format!("{name} {}", usage.join(" "));
    page.add(&format!("\n## {name}\n\n{about}.\n\n```sh\n{}\n```\n", line.trim_end()));
    if !shown.is_empty() {
        page.push_str("\n| | |\n|---|---|\n");
    }
    for arg in shown {
        page.add(&format!("| `{}` | {} |\n", cell(&spelled(arg)), cell(&meaning(arg))));
    }
}

fn is_ours(arg: &Arg) -> bool {
    !matches!(arg.get_id().as_str(), "help" | "version")
}

fn spelled(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match (arg.get_long(), takes) {
        (None, _) => value.to_owned(),
        (Some(long), true) => format!("--{long} {value}"),
        (Some(long), false) => format!("--{long}"),
    }
}

fn usage(arg: &Arg) -> String {
    let spelled = spelled(arg);
    if arg.is_required_set() { spelled } else { format!("[{spelled}]") }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut meaning = format!("{}.", help.trim_end_matches('.'));
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        meaning.add(&format!(" Default: `{}`.", defaults.join(" ")));
    }
    let words = arg.get_possible_values();
    if !words.is_empty() && arg.get_action().takes_values() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.get_name())).collect();
        meaning.add(&format!(" One of {}.", words.join(", ")));
    }
    meaning
}
