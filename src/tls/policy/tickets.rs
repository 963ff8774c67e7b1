//! Files with the keys of tickets, in nginx's layouts.

use std::path::Path;

use super::files::read_secret;
use crate::error::{Error, Result};
use crate::tls::raw::{Secret, TicketKey};

/// Reads all files; they must have one size. The first encrypts.
pub(super) fn read_ticket_keys(paths: &[&Path]) -> Result<Vec<TicketKey>> {
    if paths.is_empty() {
        return Err(Error::invalid("paths: there must be at least one ticket-key file"));
    }
    let mut keys = Vec::new();
    let mut size = None;
    for path in paths {
        let bytes = read_secret(path)?;
        let len = bytes.bytes().len();
        let key = parse(bytes.bytes()).ok_or_else(|| {
            let what = format!("{}: a ticket key has 48 or 80 bytes, not {len}", path.display());
            Error::invalid(what)
        })?;
        if *size.get_or_insert(len) != len {
            let what = "48 and 80 bytes cannot be mixed";
            return Err(Error::invalid(format!("{}: {what} among ticket keys", path.display())));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// 48 bytes: name 16, AES 16, HMAC 16. 80 bytes: name 16, HMAC 32, AES 32.
fn parse(bytes: &[u8]) -> Option<TicketKey> {
    let (name, rest) = bytes.split_first_chunk::<16>()?;
    let secret = |bytes: &[u8]| Secret::new(bytes.to_vec());
    let (aes, hmac) = match rest.len() {
        32 => (secret(&rest[..16]), secret(&rest[16..])),
        64 => (secret(&rest[32..]), secret(&rest[..32])),
        _ => return None,
    };
    Some(TicketKey { name: *name, aes, hmac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_nginxs() {
        let bytes: Vec<u8> = (0..80).collect();
        let short = parse(&bytes[..48]).unwrap();
        assert_eq!(short.name, bytes[..16]);
        assert_eq!((short.aes.bytes(), short.hmac.bytes()), (&bytes[16..32], &bytes[32..48]));
        let long = parse(&bytes).unwrap();
        assert_eq!(long.name, bytes[..16]);
        assert_eq!((long.hmac.bytes(), long.aes.bytes()), (&bytes[16..48], &bytes[48..80]));
        for len in [0, 15, 16, 47, 49, 79] {
            assert!(parse(&bytes[..len]).is_none(), "{len}");
        }
    }
}
