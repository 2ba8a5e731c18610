//! Who a reporting agent is: its ServiceAccount token, reviewed by the API server.
//!
//! Asked by the server for every request. Promises: only our own ServiceAccount with our audience is let in; an answer is kept for a
//! minute at most, so that a revoked token is out soon and a report a second costs no review a second; what is kept is bounded; when the
//! API server does not answer, known tokens stay good for their minute and unknown ones are not let in.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Audience of the agents' tokens.
pub const AUDIENCE: &str = "foreshadow";
/// Where the API server says on which node a bound token's pod runs.
const NODE_EXTRA: &str = "authentication.kubernetes.io/node-name";
/// How long a review holds.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Most reviews kept.
const MOST: usize = 10_000;

/// Whoever showed a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Node that its pod is bound to, where the API server tells.
    pub node: Option<String>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// No token, or one that is not good here.
    #[error("not let in: {0}")]
    Away(String),
    /// The API server could not be asked.
    #[error("the token could not be reviewed: {0}")]
    Unknown(String),
}

/// Reviews tokens.
pub struct Tokens {
    api: Api<TokenReview>,
    user: String,
    known: Mutex<BTreeMap<[u8; 32], (Instant, Caller)>>,
}

impl Tokens {
    /// Lets in only `user`, e.g. `system:serviceaccount:foreshadow:foreshadow-node`.
    pub fn new(client: Client, user: String) -> Self {
        Self { api: Api::all(client), user, known: Mutex::default() }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// Nobody who is let in.
    pub async fn caller(&self, token: &str) -> Result<Caller, Turned> {
        let mut key = [0; 32];
        key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref());
        if let Some(caller) = self.recall(&key) {
            return Ok(caller);
        }
        let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.into()]), token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.api.create(&PostParams::default(), &review).await.map_err(|e| Turned::Unknown(e.to_string()))?;
        let caller = judge(answer.status.unwrap_or_default(), &self.user)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < GOOD_FOR);
        if known.len() < MOST {
            known.insert(key, (Instant::now(), caller.clone()));
        }
        Ok(caller)
    }

    fn recall(&self, key: &[u8; 32]) -> Option<Caller> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < GOOD_FOR).map(|(_, caller)| caller.clone())
    }
}

fn judge(status: TokenReviewStatus, wanted: &str) -> Result<Caller, Turned> {
    if status.authenticated != Some(true) {
        return Err(Turned::Away(status.error.unwrap_or_else(|| "the token is not valid".into())));
    }
    if !status.audiences.unwrap_or_default().iter().any(|a| a == AUDIENCE) {
        return Err(Turned::Away(format!("the token is not for the audience {AUDIENCE}")));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    if name != wanted {
        return Err(Turned::Away(format!("{name} is not {wanted}")));
    }
    let node = user.extra.and_then(|mut extra| extra.remove(NODE_EXTRA)).and_then(|nodes| nodes.into_iter().next());
    Ok(Caller { node })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ME: &str = "system:serviceaccount:foreshadow:foreshadow-node";

    fn answer(status: Value) -> Result<Caller, Turned> {
        judge(serde_json::from_value(status).unwrap(), ME)
    }

    #[test]
    fn only_our_own_account_with_our_audience_is_let_in() {
        let extra = json!({"authentication.kubernetes.io/node-name": ["n1"]});
        let good = json!({"authenticated": true, "audiences": ["foreshadow"], "user": {"username": ME, "extra": extra}});
        assert_eq!(answer(good), Ok(Caller { node: Some("n1".into()) }));
        let turned = |status| answer(status).unwrap_err().to_string();
        assert!(turned(json!({"authenticated": false, "error": "token has expired"})).contains("expired"));
        assert!(turned(json!({"authenticated": true, "audiences": ["other"], "user": {"username": ME}})).contains("audience"));
        assert!(turned(json!({"authenticated": true, "user": {"username": ME}})).contains("audience"));
        let other = json!({"authenticated": true, "audiences": ["foreshadow"], "user": {"username": "system:serviceaccount:shop:default"}});
        assert!(turned(other).contains("system:serviceaccount:shop:default is not"));
    }
}
