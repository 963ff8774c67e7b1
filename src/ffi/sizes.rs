//! The sizes that the structs of the contract had in release 0.1, by which a host compiled against any
//! later header is understood.

use std::ffi::{c_char, c_uint, c_void};
use std::mem::offset_of;

use super::read::HostStruct;
use super::types::*;

type WorkerCallback = Option<unsafe extern "C" fn(worker: c_uint, user: *mut c_void)>;

/// Where a struct of release 0.1 ended: behind the member that was its last one then.
macro_rules! host_struct {
    ($name:ident, $last:ident: $kind:ty) => {
        // SAFETY: repr(C), begins with `size: usize`, and holds numbers, pointers and nullable
        // function pointers, of which every pattern of bytes is one.
        unsafe impl HostStruct for $name {
            const NAME: &'static str = stringify!($name);
            const SIZE_0_1: usize = offset_of!($name, $last) + size_of::<$kind>();
        }
    };
}

host_struct!(tlsloop_callbacks, on_worker_stop: WorkerCallback);
host_struct!(tlsloop_server_config, proxy_trusted: *const c_char);
host_struct!(tlsloop_stats, queued_bytes: u64);
host_struct!(tlsloop_client_config, io_timeout_ms: c_uint);
host_struct!(tlsloop_info, age_ms: u64);

#[cfg(test)]
mod tests {
    use super::super::read::{SANE_SIZE, host_struct, zeroed};
    use super::*;
    use crate::host::{Level, REASON_SLOTS};

    fn ends_with_a_member<T: HostStruct>() {
        // A member added into padding would not change `sizeof`, so old and new could not be told apart.
        assert_eq!(T::SIZE_0_1, size_of::<T>(), "{} ends with padding, or grew", T::NAME);
        assert!(size_of::<T>() < SANE_SIZE / 4, "{}", T::NAME);
    }

    #[test]
    fn no_struct_ends_with_padding() {
        ends_with_a_member::<tlsloop_callbacks>();
        ends_with_a_member::<tlsloop_server_config>();
        ends_with_a_member::<tlsloop_stats>();
        ends_with_a_member::<tlsloop_client_config>();
        ends_with_a_member::<tlsloop_info>();
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_sizes_of_release_0_1_stay() {
        assert_eq!(tlsloop_callbacks::SIZE_0_1, 96);
        assert_eq!(tlsloop_server_config::SIZE_0_1, 128);
        assert_eq!(tlsloop_stats::SIZE_0_1, 272);
        assert_eq!(tlsloop_client_config::SIZE_0_1, 56);
        assert_eq!(tlsloop_info::SIZE_0_1, 4048);
    }

    #[test]
    fn what_an_empty_configuration_of_the_hosts_says() {
        let config = tlsloop_server_config { size: tlsloop_server_config::SIZE_0_1, port: 7, ..zeroed() };
        // SAFETY: a whole struct that tells its true size.
        let read = unsafe { host_struct("config", &raw const config) }.unwrap();
        assert_eq!(read.port, 7);
        assert!(read.address.is_null() && read.tls.is_null() && read.callbacks.is_null());
        let callbacks = zeroed::<tlsloop_callbacks>();
        assert!(callbacks.on_connect.is_none() && callbacks.on_worker_stop.is_none());
    }

    #[test]
    fn the_core_counts_reasons_and_levels_as_the_header_does() {
        assert_eq!(zeroed::<tlsloop_stats>().disconnects_by_reason.len(), REASON_SLOTS);
        assert_eq!(Level::Error as i32, TLSLOOP_LOG_ERROR);
        assert_eq!(Level::Warn as i32, TLSLOOP_LOG_WARN);
        assert_eq!(Level::Info as i32, TLSLOOP_LOG_INFO);
        assert_eq!(Level::Debug as i32, TLSLOOP_LOG_DEBUG);
    }
}
