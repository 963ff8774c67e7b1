//! What is known of a connection, as C sees it.

use std::ffi::c_int;

use super::read::zeroed;
use super::types::tlsloop_info;
use super::write::fill_text;
use crate::calls::Told;
use crate::info::TlsFacts;

impl From<&Told> for tlsloop_info {
    fn from(told: &Told) -> tlsloop_info {
        let mut info: tlsloop_info = zeroed();
        let facts = &told.facts;
        fill_text(&mut info.peer, &facts.peer_text());
        fill_text(&mut info.local, &told.local.as_ref().map(ToString::to_string).unwrap_or_default());
        fill_text(&mut info.balancer, &facts.balancer.as_ref().map(ToString::to_string).unwrap_or_default());
        (info.peer_pid, info.peer_uid) = told.credentials.unwrap_or((-1, -1));
        info.bytes_in = told.bytes_in;
        info.bytes_out = told.bytes_out;
        info.age_ms = facts.age_ms();
        if let Some(tls) = &facts.tls {
            fill_tls(&mut info, tls);
        }
        info
    }
}

fn fill_tls(info: &mut tlsloop_info, tls: &TlsFacts) {
    info.is_tls = 1;
    fill_text(&mut info.version, &tls.version.to_string_lossy());
    fill_text(&mut info.cipher, &tls.cipher.to_string_lossy());
    fill_text(&mut info.group, &tls.group);
    fill_text(&mut info.alpn, &String::from_utf8_lossy(&tls.alpn));
    fill_text(&mut info.sni, &tls.sni);
    info.is_resumed = c_int::from(tls.is_resumed);
    info.verify_result = tls.verify_result;
    let Some(certificate) = &tls.certificate else { return };
    info.has_certificate = 1;
    fill_text(&mut info.subject, &certificate.subject());
    fill_text(&mut info.issuer, &certificate.issuer());
    fill_text(&mut info.sha256, &certificate.sha256_hex());
    let (names, cut) = certificate.alt_names(info.san.len() - 1);
    fill_text(&mut info.san, &names);
    info.san_truncated = c_int::from(cut);
}
