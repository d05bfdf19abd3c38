//! Asks the addresses that policies name. Which hosts may be asked is decided before.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use haldane_analyzer::rollout::Prober;
use reqwest::Client;
use reqwest::redirect::Policy;

/// An answer has to begin within this.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks by HTTP. No redirect is followed, and of the answer only the status is read.
#[derive(Debug)]
pub struct HttpProber(Client);

/// No client can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system's certificates or the TLS library cannot be used")]
pub struct NoProber(#[from] reqwest::Error);

impl HttpProber {
    /// One that goes around any proxy.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn try_new() -> Result<Self, NoProber> {
        let builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy();
        Ok(Self(builder.user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION"))).build()?))
    }
}

impl Prober for HttpProber {
    fn status<'a>(&'a self, url: &'a str) -> Pin<Box<dyn Future<Output = Result<u16, String>> + Send + 'a>> {
        Box::pin(async move {
            match self.0.get(url).send().await {
                Ok(answer) => Ok(answer.status().as_u16()),
                Err(error) if error.is_timeout() => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
                Err(error) if error.is_connect() => Err("nobody answers there".to_owned()),
                Err(_) => Err("the answer is not HTTP".to_owned()),
            }
        })
    }
}
