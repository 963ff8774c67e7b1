//! A server's configuration, from the host's struct to the core's: zero is the default, and what is not possible is named.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;

use super::read::{host_optional_text, host_struct, zeroed};
use super::tls::policy;
use super::types::*;
use crate::error::{Error, Result};
use crate::host::Level;
use crate::server::{Config, Listen, Mode, Workers};
use crate::tls::policy::Policy;
use crate::trust::TrustedSources;

/// The callbacks that a configuration names; without any, none is called.
///
/// # Safety
/// `callbacks` is NULL or points to a struct of the size that it states.
pub(super) unsafe fn callbacks(callbacks: *const tlsloop_callbacks) -> Result<tlsloop_callbacks> {
    if callbacks.is_null() {
        return Ok(zeroed());
    }
    // SAFETY: as this function.
    unsafe { host_struct("config->callbacks", callbacks) }
}

/// # Safety
/// The pointers in `config` are as the header says.
pub(super) unsafe fn server_config(config: &tlsloop_server_config) -> Result<Config> {
    let high_water = if config.send_high_water == 0 { 1 << 20 } else { config.send_high_water };
    let low_water = if config.send_low_water == 0 { high_water / 4 } else { config.send_low_water };
    if low_water > high_water {
        return Err(Error::invalid(format!(
            "config->send_low_water is {low_water}, above send_high_water ({high_water})"
        )));
    }
    // A queue that is as long as at high water is full, and has not fallen.
    let low_water = low_water.min(high_water - 1);
    Ok(Config {
        // SAFETY: as this function.
        listen: unsafe { listen(config)? },
        backlog: match config.backlog {
            0 => libc::SOMAXCONN,
            backlog if backlog > 0 => backlog,
            backlog => return Err(Error::invalid(format!("config->backlog is {backlog}"))),
        },
        mode: mode(config.mode)?,
        // SAFETY: as this function.
        balancers: unsafe { balancers(config)? },
        // SAFETY: as this function.
        policy: unsafe { server_policy(config)? },
        workers: match config.workers {
            0 => Workers::Threads(1),
            TLSLOOP_HOST_DRIVEN => Workers::HostDriven,
            TLSLOOP_PER_CPU => Workers::PerCpu,
            n => Workers::Threads(n as usize),
        },
        max_connections: limit(config.max_connections, 0),
        max_handshakes: match limit(config.max_handshakes, 1024) {
            0 => usize::MAX,
            limit => limit,
        },
        max_per_ip: limit(config.max_connections_per_ip, 0),
        handshake_timeout: timeout(config.handshake_timeout_ms, Some(10_000)),
        idle_timeout: timeout(config.idle_timeout_ms, None),
        send_timeout: timeout(config.send_timeout_ms, Some(30_000)),
        close_timeout: timeout(config.close_timeout_ms, Some(5_000)),
        high_water,
        low_water,
        log_level: log_level(config.log_level)?,
    })
}

fn mode(mode: c_int) -> Result<Mode> {
    match mode {
        TLSLOOP_MODE_TLS => Ok(Mode::Tls),
        TLSLOOP_MODE_PLAIN => Ok(Mode::Plain),
        TLSLOOP_MODE_STARTTLS => Ok(Mode::StartTls),
        TLSLOOP_MODE_DETECT => Ok(Mode::Detect),
        mode => Err(Error::invalid(format!("config->mode is {mode}"))),
    }
}

/// # Safety
/// As [`server_config`].
unsafe fn balancers(config: &tlsloop_server_config) -> Result<Option<TrustedSources>> {
    // SAFETY: as this function.
    let trusted = unsafe { host_optional_text("config->proxy_trusted", config.proxy_trusted)? };
    match (config.proxy_protocol, trusted) {
        (TLSLOOP_PROXY_OFF, _) => Ok(None),
        (TLSLOOP_PROXY_REQUIRED, Some(trusted)) => TrustedSources::parse(trusted).map(Some),
        (TLSLOOP_PROXY_REQUIRED, None) => {
            Err(Error::invalid("config->proxy_trusted is NULL, and config->proxy_protocol is TLSLOOP_PROXY_REQUIRED"))
        }
        (other, _) => Err(Error::invalid(format!("config->proxy_protocol is {other}"))),
    }
}

/// # Safety
/// As [`server_config`].
unsafe fn listen(config: &tlsloop_server_config) -> Result<Listen> {
    // SAFETY: as this function.
    let address = unsafe { host_optional_text("config->address", config.address)? };
    match config.listen_fd {
        0 => Ok(Listen::Address(address.map(str::to_owned), config.port)),
        -1 => Ok(Listen::Nowhere),
        fd if fd > 0 => Ok(Listen::Socket(fd)),
        fd => Err(Error::invalid(format!("config->listen_fd is {fd}"))),
    }
}

/// # Safety
/// As [`server_config`].
unsafe fn server_policy(config: &tlsloop_server_config) -> Result<Option<Arc<Policy>>> {
    if config.mode == TLSLOOP_MODE_PLAIN {
        return Ok(None);
    }
    if config.tls.is_null() {
        return Err(Error::invalid("config->tls is NULL, which only TLSLOOP_MODE_PLAIN allows"));
    }
    // SAFETY: as this function; the handle keeps its own reference.
    Ok(Some(Arc::clone(&*unsafe { policy(config.tls)? })))
}

/// 0 is the default, TLSLOOP_NONE is never.
pub(super) fn timeout(ms: c_uint, default: Option<u64>) -> Option<u64> {
    match ms {
        0 => default,
        TLSLOOP_NONE => None,
        ms => Some(u64::from(ms)),
    }
}

/// 0 is the default, TLSLOOP_NONE is none, which the core writes as 0.
fn limit(limit: c_uint, default: usize) -> usize {
    match limit {
        0 => default,
        TLSLOOP_NONE => 0,
        limit => limit as usize,
    }
}

fn log_level(level: c_int) -> Result<Level> {
    match level {
        0 | TLSLOOP_LOG_WARN => Ok(Level::Warn),
        TLSLOOP_LOG_ERROR => Ok(Level::Error),
        TLSLOOP_LOG_INFO => Ok(Level::Info),
        TLSLOOP_LOG_DEBUG => Ok(Level::Debug),
        level => Err(Error::invalid(format!("config->log_level is {level}"))),
    }
}
