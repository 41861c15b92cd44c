//! `${NAME}` in strings: the environment's variables; `$${` is a plain `${`.

/// What is wrong with a string; a fragment, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpanded {
    pub what: String,
    pub help: String,
}

/// The string with its variables filled in, or everything that is wrong with it.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Unexpanded>> {
    let mut expanded = String::with_capacity(text.len());
    let mut mistakes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            expanded.push_str(escaped);
            expanded.push_str("${");
            rest = &reference[2..];
            continue;
        }
        expanded.push_str(before);
        let Some((name, after)) = reference[2..].split_once('}').filter(|(name, _)| is_name(name)) else {
            mistakes.push(malformed());
            return Err(mistakes);
        };
        match env(name) {
            Some(value) => expanded.push_str(&value),
            None => mistakes.push(unset(name)),
        }
        rest = after;
    }
    expanded.push_str(rest);
    if mistakes.is_empty() { Ok(expanded) } else { Err(mistakes) }
}

fn is_name(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn malformed() -> Unexpanded {
    Unexpanded {
        what: "`${` does not begin the name of an environment variable".into(),
        help: "write `${NAME}` with letters, digits and underscores, or `$${` for a plain `${`".into(),
    }
}

fn unset(name: &str) -> Unexpanded {
    Unexpanded {
        what: format!("the environment variable {name} is not set"),
        help: format!("set it with `export {name}=…`, or write the value here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        matches!(name, "HOST" | "_P1").then(|| format!("<{name}>"))
    }

    #[test]
    fn variables_are_filled_in_wherever_they_stand() {
        for (text, expanded) in [
            ("plain $ {x}", "plain $ {x}"),
            ("${HOST}", "<HOST>"),
            ("http://${HOST}:${_P1}/", "http://<HOST>:<_P1>/"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("$$", "$$"),
        ] {
            assert_eq!(expand(text, &env).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn every_missing_variable_is_named() {
        let mistakes = expand("${A}${HOST}${B}", &env).expect_err("two are missing");
        let named: Vec<&str> = mistakes.iter().map(|m| m.what.as_str()).collect();
        assert_eq!(named, ["the environment variable A is not set", "the environment variable B is not set"]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["${", "${}", "${HOST", "${1A}", "${A-B}", "${é}"] {
            assert_eq!(expand(text, &env), Err(vec![malformed()]), "{text}");
        }
    }
}
