//! Which certificates answer to which server name: two look-ups by hash, however many names there are.

use std::collections::HashMap;

use crate::tls::raw::{AltName, Cert, KeyKind};

/// The names of all certificates of a policy. What it stores and answers are places in its list.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// "a.example"
    exact: HashMap<String, Vec<usize>>,
    /// "*.a.example", kept as "a.example"
    wildcard: HashMap<String, Vec<usize>>,
}

impl Names {
    /// Sorts certificates, in their order, by the names that they carry. Under one name the first of
    /// each kind of key counts.
    pub(super) fn new(certs: impl Iterator<Item = (KeyKind, Vec<String>)>) -> Names {
        let mut names = Names::default();
        let mut kinds = Vec::new();
        for (place, (kind, own)) in certs.enumerate() {
            kinds.push(kind);
            for name in own {
                let places = match name.strip_prefix("*.") {
                    Some(parent) => names.wildcard.entry(parent.to_owned()),
                    None => names.exact.entry(name),
                }
                .or_default();
                if !places.iter().any(|&earlier| kinds[earlier] == kind) {
                    places.push(place);
                }
            }
        }
        names
    }

    /// The certificates for a name that a client asks for: those that carry it exactly, then those that
    /// cover it by a wildcard.
    pub(super) fn find(&self, asked: &[u8]) -> [&[usize]; 2] {
        let Some(name) = normal(asked) else { return [&[], &[]] };
        let exact = self.exact.get(&name);
        let wildcard = name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        [exact, wildcard].map(|places| places.map_or(&[][..], Vec::as_slice))
    }

    /// The others that carry a name of the certificate at `place`, of other kinds of key.
    pub(super) fn siblings(&self, place: usize) -> Vec<usize> {
        let beside = |places: &&Vec<usize>| places.contains(&place) && places.len() > 1;
        self.exact
            .values()
            .chain(self.wildcard.values())
            .filter(beside)
            .min()
            .map(|places| places.iter().copied().filter(|&other| other != place).collect())
            .unwrap_or_default()
    }
}

/// The DNS names of a certificate; only one without any is asked for its common name (RFC 6125 6.4.4).
pub(super) fn names_of(cert: &Cert) -> Vec<String> {
    let entries = cert.alt_names();
    let dns = |entry: &AltName| match entry {
        AltName::Dns(name) => Some(normal(name)),
        _ => None,
    };
    let named: Vec<_> = entries.iter().filter_map(dns).collect();
    if named.is_empty() {
        return cert.common_name().and_then(|name| normal(&name)).into_iter().collect();
    }
    named.into_iter().flatten().collect()
}

/// Small letters, no dot at the end; `None` for what no host name can be.
fn normal(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let fine = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic());
    fine.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(certs: &[(KeyKind, &[&str])]) -> Names {
        let own = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Names::new(certs.iter().map(|(kind, list)| (*kind, own(list))))
    }

    #[test]
    fn exact_comes_before_wildcard_and_the_first_of_a_kind_counts() {
        use KeyKind::{Ecdsa, Rsa};
        let names = names(&[
            (Ecdsa, &["first.example"]),
            (Rsa, &["*.a.example"]),
            (Rsa, &["www.a.example", "b.example"]),
            (Ecdsa, &["www.a.example"]),
            (Ecdsa, &["www.a.example", "*.a.example"]),
        ]);
        for (asked, exact, wildcard) in [
            ("www.a.example", &[2, 3][..], &[1, 4][..]),
            ("WWW.A.Example.", &[2, 3], &[1, 4]),
            ("x.a.example", &[], &[1, 4]),
            ("a.example", &[], &[]),
            ("x.www.a.example", &[], &[]),
            ("b.example", &[2], &[]),
            ("*.a.example", &[], &[1, 4]),
            ("", &[], &[]),
            (".", &[], &[]),
            ("nobody", &[], &[]),
        ] {
            assert_eq!(names.find(asked.as_bytes()), [exact, wildcard], "{asked}");
        }
    }

    #[test]
    fn a_sibling_has_the_same_name_and_another_kind_of_key() {
        use KeyKind::{Ecdsa, Rsa};
        let names = names(&[(Rsa, &["a.example", "b.example"]), (Ecdsa, &["c.example"]), (Ecdsa, &["b.example"])]);
        assert_eq!(names.siblings(0), [2]);
        assert_eq!(names.siblings(1), []);
    }
}
