//! Keys: read from PEM, named by a digest of their public half, and shown as JSON web keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256,
}

impl Algorithm {
    /// As headers and key sets name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no key in PEM form found")]
    Pem,
    #[error("the key is neither RSA of 2048 bits or more, nor EC on P-256 in PKCS #8 form")]
    Kind,
    #[error("signing failed")]
    Sign,
}

/// A key that signs.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// Reads the first private key of a PEM text.
    ///
    /// # Errors
    /// No key, or one of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
            let (kind, der) = section.map_err(|_| KeyError::Pem)?;
            if let Some(pair) = Pair::read(&kind, &der)? {
                return Ok(Self { public: pair.public()?, pair });
            }
        }
        Err(KeyError::Pem)
    }

    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm
    }

    /// The key's name in the headers of tokens.
    pub fn id(&self) -> &str {
        &self.public.id
    }

    /// The public half.
    pub fn verifier(&self) -> VerifyingKey {
        self.public.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Sign),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).map_err(|_| KeyError::Sign)?;
                Ok(out)
            }
        }
    }
}

impl Pair {
    /// None: a section that is no private key.
    fn read(kind: &SectionKind, der: &[u8]) -> Result<Option<Self>, KeyError> {
        let random = SystemRandom::new();
        match kind {
            SectionKind::PrivateKey => {
                if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
                    return Ok(Some(Self::Ec(pair)));
                }
                rsa::KeyPair::from_pkcs8(der).map(|pair| Some(Self::Rsa(pair))).map_err(|_| KeyError::Kind)
            }
            SectionKind::RsaPrivateKey => rsa::KeyPair::from_der(der).map(|pair| Some(Self::Rsa(pair))).map_err(|_| KeyError::Kind),
            SectionKind::EcPrivateKey => Err(KeyError::Kind),
            _ => Ok(None),
        }
    }

    fn public(&self) -> Result<VerifyingKey, KeyError> {
        match self {
            Self::Ec(pair) => VerifyingKey::from_info(&info(Algorithm::Es256, pair.public_key().as_ref())),
            Self::Rsa(pair) => VerifyingKey::from_info(&info(Algorithm::Rs256, pair.public().as_ref())),
        }
    }
}

/// A key that tells whether another has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    id: String,
    algorithm: Algorithm,
    /// The curve's point, or the PKCS #1 form.
    bytes: Vec<u8>,
    /// What a JSON web key says of it.
    numbers: [(&'static str, String); 2],
}

/// Reads every key of a PEM text: public keys, certificates', or the public halves of private ones.
///
/// # Errors
/// No key, or one of another kind.
pub fn verifying_keys(pem: &str) -> Result<Vec<VerifyingKey>, KeyError> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
        let (kind, der) = section.map_err(|_| KeyError::Pem)?;
        match kind {
            SectionKind::PublicKey => keys.push(VerifyingKey::from_info(&der)?),
            SectionKind::Certificate => {
                let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| KeyError::Pem)?;
                keys.push(VerifyingKey::from_info(certificate.public_key().raw)?);
            }
            _ => keys.extend(Pair::read(&kind, &der)?.map(|pair| pair.public()).transpose()?),
        }
    }
    if keys.is_empty() { Err(KeyError::Pem) } else { Ok(keys) }
}

impl VerifyingKey {
    /// Reads a SubjectPublicKeyInfo in DER form.
    fn from_info(der: &[u8]) -> Result<Self, KeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Kind)?;
        let bytes = info.subject_public_key.data.to_vec();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
        let (algorithm, numbers) = match info.parsed().map_err(|_| KeyError::Kind)? {
            // 0x04: an uncompressed point, its halves the coordinates.
            PublicKey::EC(_) if bytes.len() == 65 && bytes[0] == 4 => {
                let half = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&bytes[range]);
                (Algorithm::Es256, [("x", half(1..33)), ("y", half(33..65))])
            }
            PublicKey::RSA(key) => (Algorithm::Rs256, [("n", number(key.modulus)), ("e", number(key.exponent))]),
            _ => return Err(KeyError::Kind),
        };
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der));
        Ok(Self { id, algorithm, bytes, numbers })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes).verify(message, signature),
            Algorithm::Rs256 => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.bytes).verify(message, signature),
        };
        verified.is_ok()
    }

    /// The key as a JSON web key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let kind = match self.algorithm {
            Algorithm::Es256 => json!({"kty": "EC", "crv": "P-256"}),
            Algorithm::Rs256 => json!({"kty": "RSA"}),
        };
        let mut key = json!({"use": "sig", "kid": self.id, "alg": self.algorithm.name()});
        if let (Some(key), Value::Object(kind)) = (key.as_object_mut(), kind) {
            key.extend(kind);
            key.extend(self.numbers.iter().map(|(name, number)| ((*name).to_owned(), json!(number))));
        }
        key
    }
}

/// A public key in the form that certificates have it in, SubjectPublicKeyInfo.
fn info(algorithm: Algorithm, key: &[u8]) -> Vec<u8> {
    /// id-ecPublicKey with the curve P-256.
    const EC: &[u8] = &[0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    /// rsaEncryption, without parameters.
    const RSA: &[u8] = &[0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 3;
    let algorithm = match algorithm {
        Algorithm::Es256 => EC,
        Algorithm::Rs256 => RSA,
    };
    // The zero: no bit of the last byte is unused.
    let bits = tagged(BIT_STRING, &[&[0], key].concat());
    tagged(SEQUENCE, &[algorithm, &bits].concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count().min(length.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        // Eight bytes at most.
        out.push(0x80 | significant.len() as u8);
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_name_in_both_halves() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let signing = SigningKey::from_pem(&pair.serialize_pem()).unwrap();
        let public = verifying_keys(&pair.public_key_pem()).unwrap();
        assert_eq!(public, [signing.verifier()]);
        assert_eq!(verifying_keys(&pair.serialize_pem()).unwrap(), public);
        let jwk = signing.verifier().jwk();
        assert_eq!((jwk["kty"].as_str(), jwk["kid"].as_str()), (Some("EC"), Some(signing.id())));
        assert_eq!(jwk["x"].as_str().unwrap().len(), 43);
    }

    #[test]
    fn lengths_are_encoded_as_der_has_them() {
        assert_eq!(tagged(4, &[0; 5])[..2], [4, 5]);
        assert_eq!(tagged(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(SigningKey::from_pem("nothing"), Err(KeyError::Pem)));
        assert!(matches!(verifying_keys(""), Err(KeyError::Pem)));
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(matches!(SigningKey::from_pem(&ed25519.serialize_pem()), Err(KeyError::Kind)));
    }
}
