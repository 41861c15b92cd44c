//! Numbers of methods in usage records. Never change one: the ledger keeps them.

use http::Method;

const NUMBERED: [(Method, u8); 9] = [
    (Method::GET, 1),
    (Method::HEAD, 2),
    (Method::POST, 3),
    (Method::PUT, 4),
    (Method::PATCH, 5),
    (Method::DELETE, 6),
    (Method::OPTIONS, 7),
    (Method::CONNECT, 8),
    (Method::TRACE, 9),
];

/// 0 for methods without a number.
pub fn number(method: &Method) -> u8 {
    NUMBERED.iter().find(|(known, _)| known == method).map_or(0, |(_, number)| *number)
}

/// `None` for those without a number.
pub fn name(number: u8) -> Option<&'static str> {
    NUMBERED.iter().find(|(_, known)| *known == number).map(|(method, _)| method.as_str())
}
