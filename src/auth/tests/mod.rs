//! The room as a whole, with keys and tokens of another library (`tests/fixtures/jwt/make.py`).

mod attacks;
pub mod fixtures;
mod garbage;
mod issuer;
mod jwks;
mod tokens;
