//! Parameters of a request, in the order in which they were given: the same calls make the same bytes, as Stripe
//! asks of two requests under one idempotency key.

use std::fmt::{Display, Write as _};

use stripe_client_core::{RequestBuilder, StripeMethod};

/// A form-encoded body or query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::stripe) struct Form(String);

impl Form {
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(&value.to_string(), &mut self.0);
        self
    }

    /// Leaves the parameter out where there is no value.
    pub fn with_some(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// One parameter for each entry, as `group[name]`.
    pub fn with_entries(self, group: &str, entries: &[(&str, String)]) -> Self {
        entries.iter().fold(self, |form, (name, value)| form.with(&format!("{group}[{name}]"), value))
    }

    pub fn get(self, path: impl Into<String>) -> RequestBuilder {
        RequestBuilder { query: Some(self.0), ..RequestBuilder::new(StripeMethod::Get, path) }
    }

    pub fn post(self, path: impl Into<String>) -> RequestBuilder {
        RequestBuilder { body: Some(self.0), ..RequestBuilder::new(StripeMethod::Post, path) }
    }

    pub fn delete(self, path: impl Into<String>) -> RequestBuilder {
        RequestBuilder { query: Some(self.0), ..RequestBuilder::new(StripeMethod::Delete, path) }
    }
}

/// Everything but what no reader takes for a separator.
fn encode(text: &str, encoded: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_parameters_is_encoded_in_names_and_values() {
        let form = Form::default()
            .with("items[0][price]", "price_1")
            .with_some("trial_period_days", None::<u32>)
            .with("return_url", "https://a.example/?x=1&y=ä b+c")
            .with_entries("metadata", &[("tollgate_customer", "a=b".to_owned())]);
        let expected = "items%5B0%5D%5Bprice%5D=price_1&return_url=https%3A%2F%2Fa.example%2F%3Fx%3D1%26y%3D%C3%A4%20\
                        b%2Bc&metadata%5Btollgate_customer%5D=a%3Db";
        assert_eq!(form.post("/x").body.as_deref(), Some(expected));
    }
}
