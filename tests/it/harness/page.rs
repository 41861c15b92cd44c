//! A buyer in front of Stripe's checkout page: reads it, and presses its buttons as a browser would.

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

/// The page, open in front of somebody.
pub struct CheckoutPage {
    http: Client,
    url: Url,
    html: String,
}

impl CheckoutPage {
    /// Opens the page of a session by its `url`.
    pub async fn open(url: &str) -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().expect("a client");
        let url = Url::parse(url).expect("a page's address");
        let answer = http.get(url.clone()).send().await.expect("the page is there");
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        let html = answer.text().await.expect("a page");
        Self { http, url, html }
    }

    /// Whether something is written on it.
    pub fn says(&self, text: &str) -> bool {
        self.html.contains(text)
    }

    /// Whether it can be paid.
    pub fn is_open(&self) -> bool {
        self.form("Pay").is_some()
    }

    /// Presses "Pay", and answers where the shop sends its buyer.
    pub async fn pay(&self) -> String {
        let answer = self.press("Pay").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "a payment leads back to the shop");
        let back = answer.headers().get(LOCATION).and_then(|back| back.to_str().ok());
        back.expect("an address").to_owned()
    }

    /// Pays with a card that is declined: the page says so, and stays.
    pub async fn decline(&mut self) {
        let answer = self.press("Pay with a card that is declined").await;
        assert_eq!(answer.status(), StatusCode::PAYMENT_REQUIRED, "a decline leads nowhere");
        self.html = answer.text().await.expect("a page");
    }

    /// Where "Cancel" leads; nowhere if the shop named no address.
    pub fn cancel(&self) -> Option<String> {
        let (before, _) = self.html.split_once(">Cancel</a>")?;
        let (_, link) = before.rsplit_once("<a href=\"")?;
        Some(unescape(link.strip_suffix('"')?))
    }

    async fn press(&self, button: &str) -> Response {
        let form = self.form(button).unwrap_or_else(|| panic!("no button \"{button}\" on {}", self.html));
        assert_eq!(attribute(form, "method"), Some("post"), "{form}");
        let action = unescape(attribute(form, "action").expect("a form leads somewhere"));
        let action = self.url.join(&action).expect("an address");
        self.http.post(action).send().await.expect("the page answers")
    }

    /// The form with a button of that label, without its end.
    fn form(&self, button: &str) -> Option<&str> {
        let label = format!(">{button}</button>");
        self.html.split("<form ").skip(1).find(|form| {
            let form = form.split_once("</form>").map_or(*form, |(form, _)| form);
            form.contains(&label)
        })
    }
}

/// The value of an attribute in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (tag, _) = tag.split_once('>')?;
    let (_, value) = tag.split_once(&format!("{name}=\""))?;
    value.split_once('"').map(|(value, _)| value)
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&amp;", "&")
}
