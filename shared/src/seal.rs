//! Sealed columns and look-up hashes. What people said and who they are lies in the database only sealed: a copy of
//! the database tells nothing without the keys, and a sealed value moved to another row does not open.
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

/// The layout: this byte, the length of the key's id, the id, the nonce, ciphertext and tag.
const VERSION: u8 = 1;

/// Keys are often written with or without `=` at the end, depending on who made them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The cell a value belongs to. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The column's name.
    pub column: &'a str,
    /// What identifies the row, as text. It must be known before the row is written.
    pub row: &'a str,
}

impl Place<'_> {
    /// Each name after its length, so that no two places read the same.
    fn associated(self, header: &[u8]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        for name in [self.table, self.column, self.row] {
            bytes.extend_from_slice(&(name.len() as u64).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }
}

/// Why keys could not be read. Entries are named by their position: an id may be a key in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No entry at all.
    #[error("holds no key")]
    Empty,
    /// Not `id:base64`.
    #[error("entry {0} must be an id of 1 to 32 letters, digits, _ or -, a colon, and 32 bytes in base64")]
    Entry(usize),
    /// An id that an earlier entry has.
    #[error("entry {0} has the id of an earlier one")]
    Twice(usize),
    /// A look-up key that is no base64 or too short.
    #[error("must be at least 32 bytes in base64")]
    Lookup,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not written by `seal`, or cut off.
    #[error("this is no sealed value, or one that was cut off")]
    Malformed,
    /// Sealed with a key that is not configured (any more).
    #[error("sealed with key {0}, which TALKBACK_DATA_KEYS does not hold")]
    UnknownKey(String),
    /// Changed, or taken from another place.
    #[error("a sealed value in {table}.{column} was changed or belongs to another row")]
    Forged {
        /// The table of the place asked for.
        table: String,
        /// The column of the place asked for.
        column: String,
    },
}

/// What a proof's key is made from a data key with: no other use of that key gives the same.
const PROOF: &[u8] = b"talkback: what we published ourselves";

/// The keys that seal columns: the first seals, all open. And they prove what we wrote: the first proves, all are known.
#[derive(Clone)]
pub struct Keys(std::sync::Arc<Vec<Key>>);

struct Key {
    id: String,
    seal: LessSafeKey,
    proof: hmac::Key,
}

impl Keys {
    /// Takes `id:base64,id2:base64`, newest first, each of 32 bytes.
    ///
    /// # Errors
    /// The first entry that is wrong.
    pub fn parse(list: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        let entries = list.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        for (place, entry) in entries {
            let wrong = KeyError::Entry(place + 1);
            let (id, key) = entry.split_once(':').ok_or_else(|| wrong.clone())?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
                return Err(wrong);
            }
            if keys.iter().any(|known| known.id == id) {
                return Err(KeyError::Twice(place + 1));
            }
            let bytes = BASE64.decode(key).map_err(|_| wrong.clone())?;
            let seal = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| wrong)?;
            let proof = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), PROOF);
            keys.push(Key {
                id: id.to_owned(),
                seal: LessSafeKey::new(seal),
                proof: hmac::Key::new(hmac::HMAC_SHA256, proof.as_ref()),
            });
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(std::sync::Arc::new(keys))) }
    }

    /// Seals a value for its place with the newest key. Equal values seal differently each time.
    ///
    /// # Panics
    /// If the operating system gives no random bytes: nothing may be sealed then.
    #[must_use]
    #[expect(clippy::expect_used, reason = "no random bytes, or 256 GB in one value: there is no way on from either")]
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let Key { id, seal: key, .. } = &self.0[0];
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the operating system gives random bytes");
        let mut sealed = Vec::with_capacity(2 + id.len() + NONCE_LEN + plain.len() + CHACHA20_POLY1305.tag_len());
        sealed.push(VERSION);
        sealed.push(u8::try_from(id.len()).expect("ids have at most 32 bytes"));
        sealed.extend_from_slice(id.as_bytes());
        let aad = Aad::from(place.associated(&sealed));
        sealed.extend_from_slice(&nonce);
        let mut text = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).expect("it is short enough");
        sealed.append(&mut text);
        sealed
    }

    /// Opens what was sealed for this place, with whichever configured key it was.
    ///
    /// # Errors
    /// Never quotes what is inside.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (&[version, length], rest) = sealed.split_first_chunk::<2>().ok_or(SealError::Malformed)?;
        let (id, rest) = rest.split_at_checked(usize::from(length)).ok_or(SealError::Malformed)?;
        let (&nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let id = std::str::from_utf8(id).ok().filter(|id| id.bytes().all(|b| b.is_ascii_graphic()));
        let id = id.filter(|_| version == VERSION).ok_or(SealError::Malformed)?;
        let known = self.0.iter().find(|known| known.id == id);
        let Key { seal: key, .. } = known.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let aad = Aad::from(place.associated(&sealed[..2 + id.len()]));
        let mut text = text.to_vec();
        match key.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut text) {
            Ok(plain) => Ok(plain.to_vec()),
            Err(_) => Err(SealError::Forged { table: place.table.to_owned(), column: place.column.to_owned() }),
        }
    }

    /// What only we can say of a text that others can read: HMAC-SHA256 by the newest key, 32 bytes.
    #[must_use]
    pub fn prove(&self, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0[0].proof, text).as_ref().to_vec()
    }

    /// Whether a proof of this text was made with any of the keys.
    #[must_use]
    pub fn is_proven(&self, text: &[u8], proof: &[u8]) -> bool {
        self.0.iter().any(|key| hmac::verify(&key.proof, text, proof).is_ok())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// What makes look-up hashes: equal values can be found without being readable.
#[derive(Clone)]
pub struct Lookup(hmac::Key);

impl Lookup {
    /// Takes at least 32 bytes in base64.
    ///
    /// # Errors
    /// Never quotes the key.
    pub fn parse(key: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(key.trim()).map_err(|_| KeyError::Lookup)?;
        if bytes.len() < 32 { Err(KeyError::Lookup) } else { Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))) }
    }

    /// HMAC-SHA256 of a value, 32 bytes. The same value under two purposes has two hashes that nobody can join.
    #[must_use]
    pub fn hash(&self, purpose: &str, value: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(value);
        context.sign().as_ref().to_vec()
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookup(…)")
    }
}

/// Whether two secrets are equal. The time it takes tells nothing of where, or whether in length, they differ.
#[must_use]
pub fn same(presented: &[u8], expected: &[u8]) -> bool {
    let hash = |bytes| digest(&SHA256, bytes);
    hash(presented).as_ref().ct_eq(hash(expected).as_ref()).into()
}

#[cfg(test)]
mod tests;
