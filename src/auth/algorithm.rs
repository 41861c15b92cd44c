//! Names of algorithms, as the configuration's allow-list writes them.

pub use jsonwebtoken::Algorithm;

const OFFERED: &str = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";

/// Why a name cannot stand in the allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    #[error("\"none\" would accept unsigned tokens; name the algorithm your issuer signs with")]
    None,
    #[error(
        "ES512 is not offered: curve P-521 cannot be verified here; have the issuer sign with ES256, ES384 or EdDSA"
    )]
    Es512,
    #[error("unknown algorithm {0:?}; offered are {OFFERED}")]
    Unknown(String),
}

/// Reads one name of the allow-list; names are case-sensitive, as in tokens.
///
/// # Errors
/// For a name that is not offered.
pub fn parse_algorithm(name: &str) -> Result<Algorithm, AlgorithmError> {
    if name.eq_ignore_ascii_case("none") {
        return Err(AlgorithmError::None);
    }
    if name == "ES512" {
        return Err(AlgorithmError::Es512);
    }
    name.parse().map_err(|_| AlgorithmError::Unknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offered_name_parses() {
        for name in OFFERED.split(", ") {
            let algorithm = parse_algorithm(name).unwrap();
            assert_eq!(format!("{algorithm:?}"), name);
        }
    }

    #[test]
    fn refused_names_say_why() {
        assert_eq!(parse_algorithm("None"), Err(AlgorithmError::None));
        let es512 = parse_algorithm("ES512").unwrap_err().to_string();
        assert!(es512.contains("P-521"), "{es512}");
        let unknown = parse_algorithm("rs256").unwrap_err().to_string();
        assert!(unknown.contains("RS256"), "{unknown}");
    }
}
