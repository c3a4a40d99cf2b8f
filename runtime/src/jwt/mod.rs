//! JSON web tokens: the compact form, signed by ES256 or RS256. Who holds a [`SigningKey`] makes them; who holds the
//! [`VerifyingKey`]s can tell which were made by it. What a token says is the caller's business.

mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use keys::{Algorithm, KeyError, SigningKey, VerifyingKey, verifying_keys};

/// The longest token that is looked at.
const MOST_BYTES: usize = 16 << 10;

/// Why a token is not taken. Its bearer is told none of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it has not the form of a token")]
    Form,
    /// Among them `none`.
    #[error("its algorithm is not that of any key")]
    Algorithm,
    #[error("no key has made its signature")]
    Signature,
}

#[derive(Deserialize, Serialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// Extensions that a reader has to understand. There are none that are understood here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Vec<String>>,
}

/// A token that says `claims`.
///
/// # Errors
/// Claims that are no JSON, or a failing source of randomness.
pub fn sign(key: &SigningKey, claims: &impl Serialize) -> Result<String, KeyError> {
    let header = Header { alg: key.algorithm().name().to_owned(), kid: Some(key.id().to_owned()), crit: None };
    let encoded = |part: Result<Vec<u8>, serde_json::Error>| part.map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(|_| KeyError::Sign);
    let mut token = encoded(serde_json::to_vec(&header))?;
    token.push('.');
    token.push_str(&encoded(serde_json::to_vec(claims))?);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

/// What a token says, without a look at its signature: to find out whom to ask about it.
///
/// # Errors
/// [`Refusal::Form`].
pub fn peek<T: DeserializeOwned>(token: &str) -> Result<T, Refusal> {
    let (_, claims, _) = parts(token)?;
    decode(claims)
}

/// What a token says, if one of the keys has signed it.
///
/// # Errors
/// A token that none of the keys has made.
pub fn verify<T: DeserializeOwned>(token: &str, keys: &[VerifyingKey]) -> Result<T, Refusal> {
    let (header, claims, signature) = parts(token)?;
    let signed = &token[..header.len() + 1 + claims.len()];
    let header: Header = decode(header)?;
    if header.crit.is_some() {
        return Err(Refusal::Form);
    }
    // The key decides on the algorithm, never the token.
    let mut candidates = keys.iter().filter(|key| key.algorithm().name() == header.alg).peekable();
    if candidates.peek().is_none() {
        return Err(Refusal::Algorithm);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Form)?;
    let is_named = |key: &&VerifyingKey| header.kid.as_deref().is_none_or(|id| id.is_empty() || id == key.id());
    if !candidates.filter(is_named).any(|key| key.verifies(signed.as_bytes(), &signature)) {
        return Err(Refusal::Signature);
    }
    decode(claims)
}

fn parts(token: &str) -> Result<(&str, &str, &str), Refusal> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) if token.len() <= MOST_BYTES => Ok((header, claims, signature)),
        _ => Err(Refusal::Form),
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Form)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Form)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key() -> SigningKey {
        SigningKey::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    fn forged(header: Value, claims: &Value, signature: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{signature}", part(&header), part(claims))
    }

    #[test]
    fn only_what_a_key_has_signed_is_taken() {
        let (own, foreign) = (key(), key());
        let claims = json!({"sub": "ann"});
        let keys = [own.verifier()];
        let token = sign(&own, &claims).unwrap();
        assert_eq!(verify::<Value>(&token, &keys), Ok(claims.clone()));
        assert_eq!(peek::<Value>(&token), Ok(claims.clone()));
        assert_eq!(verify::<Value>(&sign(&foreign, &claims).unwrap(), &keys), Err(Refusal::Signature));
        let signature = token.rsplit('.').next().unwrap();
        let changed = forged(json!({"alg": "ES256"}), &json!({"sub": "bob"}), signature);
        assert_eq!(verify::<Value>(&changed, &keys), Err(Refusal::Signature));
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_verified() {
        let own = key();
        let keys = [own.verifier()];
        let claims = json!({"sub": "ann"});
        for algorithm in ["none", "None", "", "HS256", "RS256"] {
            for signature in ["", "AAAA"] {
                let token = forged(json!({"alg": algorithm}), &claims, signature);
                assert_eq!(verify::<Value>(&token, &keys), Err(Refusal::Algorithm), "{token}");
            }
        }
        let critical = forged(json!({"alg": "ES256", "crit": ["exp"]}), &claims, "AAAA");
        assert_eq!(verify::<Value>(&critical, &keys), Err(Refusal::Form));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let keys = [key().verifier()];
        for token in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é"] {
            assert_eq!(verify::<Value>(token, &keys), Err(Refusal::Form), "{token:?}");
        }
        assert_eq!(verify::<Value>(&"a.".repeat(MOST_BYTES), &keys), Err(Refusal::Form));
    }
}
