//! How servers read bytes as requests: by the letter, or as forgiving ones do.

/// One request as a server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether its body's end has come.
    pub whole: bool,
}

/// Where a reading stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    /// More must come.
    Open,
    /// No request: a server answers 400 and closes.
    Unreadable(&'static str),
}

/// What a server makes of what the RFC does not allow.
#[expect(clippy::struct_excessive_bools, reason = "each is a laxity of its own")]
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub name: &'static str,
    /// A line may end in LF alone.
    bare_lf: bool,
    /// A line may end in CR alone.
    bare_cr: bool,
    /// A name may have spaces around it, and an underscore for a dash.
    loose_names: bool,
    /// A line that begins with a space goes on with the one before it.
    folds: bool,
    length: Length,
    coding: Coding,
}

/// Which of several lengths counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// There must be one, of digits.
    One,
    First,
    Last,
}

/// What is read in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `chunked` and nothing else; not beside a length.
    Exact,
    /// Whatever names it somewhere.
    Anywhere,
    /// Nothing: a server of HTTP/1.0.
    Never,
}

/// RFC 9112 by the letter.
pub const STRICT: Manner = Manner {
    name: "by the letter",
    bare_lf: false,
    bare_cr: false,
    loose_names: false,
    folds: false,
    length: Length::One,
    coding: Coding::Exact,
};

/// Others, after real servers: nginx, node's old parser, Python's `http.server`, and those of the papers.
pub const FORGIVING: [Manner; 6] = [
    Manner { name: "lines end in LF, as for nginx", bare_lf: true, ..STRICT },
    Manner {
        name: "any mention of chunks, as for node once",
        bare_lf: true,
        folds: true,
        length: Length::First,
        coding: Coding::Anywhere,
        ..STRICT
    },
    Manner {
        name: "no chunks at all, as for Python's http.server",
        bare_lf: true,
        bare_cr: true,
        folds: true,
        length: Length::First,
        coding: Coding::Never,
        ..STRICT
    },
    Manner { name: "the last length", length: Length::Last, coding: Coding::Never, ..STRICT },
    Manner {
        name: "loose names, the first length",
        bare_lf: true,
        loose_names: true,
        length: Length::First,
        coding: Coding::Anywhere,
        ..STRICT
    },
    Manner {
        name: "loose names, CR ends a line",
        bare_lf: true,
        bare_cr: true,
        loose_names: true,
        length: Length::Last,
        coding: Coding::Anywhere,
        ..STRICT
    },
];

impl Request {
    /// The values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> Option<&str> {
        self.values("x-request-id").next()
    }

    /// `GET /signals`.
    pub fn asked(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// Reads all that one connection brought, until it is no request.
pub fn read(mut bytes: &[u8], manner: &Manner) -> (Vec<Request>, Rest) {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        match one(bytes, manner) {
            Ok((request, rest)) => {
                let open = !request.whole;
                requests.push(request);
                if open {
                    return (requests, Rest::Open);
                }
                bytes = rest;
            }
            Err(rest) => return (requests, rest),
        }
    }
    (requests, Rest::Nothing)
}

fn one<'a>(bytes: &'a [u8], manner: &Manner) -> Result<(Request, &'a [u8]), Rest> {
    let (line, mut rest) = line(bytes, manner)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Rest::Unreadable("no request line"));
    };
    if !version.starts_with("HTTP/") || !method.bytes().all(is_token) || method.is_empty() {
        return Err(Rest::Unreadable("no method or version"));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let (line, after) = self::line(rest, manner)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        header(&line, &mut headers, manner)?;
    }
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut request = Request { method, target, headers, whole: true };
    match body(&request, rest, manner) {
        Ok(rest) => Ok((request, rest)),
        Err(Rest::Unreadable(why)) => Err(Rest::Unreadable(why)),
        Err(_) => {
            request.whole = false;
            Ok((request, &[]))
        }
    }
}

/// A line without its end, and what follows.
fn line<'a>(bytes: &'a [u8], manner: &Manner) -> Result<(String, &'a [u8]), Rest> {
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => return Ok((text(&bytes[..at]), &bytes[at + 2..])),
            (b'\n', _) if manner.bare_lf => return Ok((text(&bytes[..at]), &bytes[at + 1..])),
            (b'\r', Some(_)) if manner.bare_cr => return Ok((text(&bytes[..at]), &bytes[at + 1..])),
            (b'\r', Some(_)) | (b'\n' | b'\0', _) => return Err(Rest::Unreadable("a control character")),
            _ => {}
        }
    }
    Err(Rest::Open)
}

fn header(line: &str, headers: &mut Vec<(String, String)>, manner: &Manner) -> Result<(), Rest> {
    if line.starts_with([' ', '\t'])
        && manner.folds
        && let Some((_, value)) = headers.last_mut()
    {
        value.push_str(line);
        return Ok(());
    }
    let (name, value) = line.split_once(':').ok_or(Rest::Unreadable("a header without a colon"))?;
    let name = if manner.loose_names { name.trim().replace('_', "-") } else { name.to_owned() };
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Rest::Unreadable("a header's name"));
    }
    headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    Ok(())
}

/// What follows a request's body.
fn body<'a>(request: &Request, rest: &'a [u8], manner: &Manner) -> Result<&'a [u8], Rest> {
    let codings: Vec<String> = request.values("transfer-encoding").map(str::to_ascii_lowercase).collect();
    let lengths: Vec<&str> = request.values("content-length").collect();
    let chunked = match manner.coding {
        Coding::Exact if codings.is_empty() => false,
        Coding::Exact if codings == ["chunked"] && lengths.is_empty() => true,
        Coding::Exact => return Err(Rest::Unreadable("a coding that is not chunked alone")),
        Coding::Anywhere => codings.iter().any(|coding| coding.contains("chunked")),
        Coding::Never => false,
    };
    if chunked {
        return chunks(rest, manner);
    }
    let length = match manner.length {
        Length::One if lengths.len() > 1 => return Err(Rest::Unreadable("several lengths")),
        Length::One | Length::First => lengths.first(),
        Length::Last => lengths.last(),
    };
    let strict = manner.length == Length::One;
    let Some(length) = length else { return Ok(rest) };
    let digits = if strict { *length } else { length.trim().trim_start_matches('+') };
    let length: usize = digits.parse().map_err(|_| Rest::Unreadable("a length"))?;
    rest.get(length..).ok_or(Rest::Open)
}

fn chunks<'a>(mut rest: &'a [u8], manner: &Manner) -> Result<&'a [u8], Rest> {
    loop {
        let (size, after) = line(rest, manner)?;
        let digits = size.split([';', ' ', '\t']).next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Rest::Unreadable("a chunk's size"))?;
        if size == 0 {
            rest = after;
            break;
        }
        let end = after.get(size..).ok_or(Rest::Open)?;
        let (nothing, next) = line(end, manner)?;
        if !nothing.is_empty() {
            return Err(Rest::Unreadable("more than a chunk"));
        }
        rest = next;
    }
    loop {
        let (trailer, after) = line(rest, manner)?;
        rest = after;
        if trailer.is_empty() {
            return Ok(rest);
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
