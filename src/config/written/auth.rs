//! `[auth]`.

use crate::config::containers::{NonEmpty, OneOrMany};
use crate::config::findings::{At, Place};
use crate::config::read::{Given, Keys, Section};
use crate::config::values::algorithm::Algorithm;
use crate::config::values::header::Header;
use crate::config::values::number::Number;
use crate::config::values::pace::Pace;
use crate::config::values::secret::{Content, Secret};
use crate::config::values::span::Span;
use crate::config::values::text::{Claim, Name, Text};
use crate::config::values::url::Url;
use crate::config::values::words;

#[derive(Debug)]
pub(crate) struct Auth {
    pub jwt: Given<Jwt>,
    pub failures: At<Pace>,
    pub keys: Given<ApiKeys>,
    pub anonymous: Given<Anonymous>,
    pub client_certificate: Given<ClientCertificate>,
}

impl Section for Auth {
    const ABOUT: &'static str = "[auth]: how callers are known.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            jwt: keys.required("jwt", Jwt::ABOUT),
            failures: keys.or("failures", "Failed authentications of one address.", "20/m"),
            keys: keys.optional("keys", ApiKeys::ABOUT),
            anonymous: keys.optional("anonymous", Anonymous::ABOUT),
            client_certificate: keys.optional("client_certificate", ClientCertificate::ABOUT),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Jwt {
    pub place: Place,
    pub algorithms: Given<NonEmpty<Algorithm>>,
    pub secret: Given<Secret>,
    pub public_key: Given<Content>,
    pub jwks_url: Given<Url>,
    pub issuer: Given<Text>,
    pub audience: Given<OneOrMany<Text>>,
    pub leeway: At<Span<0>>,
    pub customer_claim: At<Claim>,
    pub member_claim: Given<Claim>,
    pub stripe_customer_claim: Given<Claim>,
    pub scope_claim: Given<Claim>,
    pub forward_token: At<bool>,
    pub cache_ttl: At<Span<1>>,
    pub cache_capacity: At<Number<1, 100_000_000>>,
    pub jwks_cooldown: At<Span<1>>,
    pub jwks_refresh: At<Span<1_000>>,
}

impl Section for Jwt {
    const ABOUT: &'static str = "[auth.jwt]: which tokens are accepted and who they speak for.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            algorithms: keys
                .required("algorithms", "The signature algorithms that are accepted, such as [\"RS256\"]."),
            secret: keys.optional(
                "secret",
                "For HS*: the secret, at least 32 bytes. One of secret, public_key, jwks_url.",
            ),
            public_key: keys
                .optional("public_key", "For RS*, PS*, ES*, EdDSA: the issuer's public key in PEM."),
            jwks_url: keys
                .optional("jwks_url", "For RS*, PS*, ES*, EdDSA: where the issuer publishes its keys."),
            issuer: keys.optional("issuer", "Checked against `iss` when set."),
            audience: keys.optional("audience", "One of them must be in `aud` when set."),
            leeway: keys.or("leeway", "Tolerance for clocks that differ.", "30s"),
            customer_claim: keys.or(
                "customer_claim",
                "Who pays; a dotted path reaches inside. Must be a claim that users cannot edit.",
                "sub",
            ),
            member_claim: keys.optional("member_claim", "Who calls, for the record."),
            stripe_customer_claim: keys.optional(
                "stripe_customer_claim",
                "The customer's id at Stripe. Must be a claim that users cannot edit.",
            ),
            scope_claim: keys.optional(
                "scope_claim",
                "What a token may do, compared with routes' scopes; left out: everything.",
            ),
            forward_token: keys.or("forward_token", "Whether the upstream sees the token.", false),
            cache_ttl: keys.or("cache_ttl", "How long a verified token is remembered.", "5m"),
            cache_capacity: keys.or("cache_capacity", "How many verified tokens are remembered.", 100_000),
            jwks_cooldown: keys.or(
                "jwks_cooldown",
                "The least time between fetches for unknown keys.",
                "30s",
            ),
            jwks_refresh: keys.or("jwks_refresh", "How often the keys are fetched anyway.", "5m"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct ApiKeys {
    pub enabled: At<bool>,
    pub header: At<Header>,
    pub prefix: At<Name>,
}

impl Section for ApiKeys {
    const ABOUT: &'static str = "[auth.keys]: API keys beside tokens; /admin/keys makes them.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            enabled: keys.or("enabled", "Whether they are accepted.", true),
            header: keys.or("header", "Where they stand, beside `Authorization: Bearer`.", "x-api-key"),
            prefix: keys.or("prefix", "What new ones begin with.", "tgk"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Anonymous {
    pub tier: Given<Name>,
    pub ipv4: At<Number<0, 32>>,
    pub ipv6: At<Number<0, 128>>,
}

impl Section for Anonymous {
    const ABOUT: &'static str = "[auth.anonymous]: who calls without a token; one customer per network.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            tier: keys.required("tier", "The tier that they have."),
            ipv4: keys.or("ipv4", "Bits of an IPv4 address that make one customer.", 32),
            ipv6: keys.or("ipv6", "Bits of an IPv6 address that make one customer.", 64),
        }
    }
}

#[derive(Debug)]
pub(crate) struct ClientCertificate {
    pub place: Place,
    pub customer: Given<CertificateName>,
}

words! {
    /// The part of a client's certificate that names the customer.
    CertificateName {
        SubjectCn "subject_cn",
        SanDns "san_dns",
        SanUri "san_uri",
        SanEmail "san_email",
        /// SHA-256 of the certificate, in hex.
        Fingerprint "fingerprint",
    }
}

impl Section for ClientCertificate {
    const ABOUT: &'static str =
        "[auth.client_certificate]: the certificate names the customer where there is no token or key.";

    fn read_keys(keys: &mut Keys<'_, '_, '_>) -> Self {
        Self {
            place: keys.place(),
            customer: keys.required(
                "customer",
                "The part that does: \"subject_cn\", \"san_dns\", \"san_uri\", \"san_email\", \"fingerprint\".",
            ),
        }
    }
}
