//! c10d's TCPStore: keys and values shared by all ranks.
//!
//! One process hosts the server, on all addresses of its machine and without authentication, like torchrun: the network
//! is trusted. Use the store for small values; tensors are exchanged with collectives.

use std::ffi::{CString, c_char};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::environment::Address;
use crate::raw::{self, Failure, Kind, Owned, RawStore, call, milliseconds};

/// Messages of c10d about a port that is in use.
const TAKEN: [&str; 2] = ["EADDRINUSE", "address already in use"];

/// Additional time for a connection beyond c10d's own timeout.
const GRACE: Duration = Duration::from_secs(2);

/// A connection to a store, and the server if this process hosts it.
#[derive(Debug)]
pub struct Store {
    raw: Owned<RawStore>,
    address: Address,
}

// SAFETY: c10d's stores are not tied to a thread.
unsafe impl Send for Store {}

/// Why a store operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another program listens on the port of the server.
    #[error(
        "the store cannot listen on port {port}: it is in use by another program\nhint: choose another MASTER_PORT, or stop that program"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The server cannot be reached.
    #[error(
        "no store responds at {address} within {} s ({message})\nhint: rank 0 must be running there, and MASTER_ADDR and MASTER_PORT must be the same on all ranks",
        .timeout.as_secs_f64()
    )]
    Unreachable {
        /// Expected address of the server.
        address: Address,
        /// How long this process tried.
        timeout: Duration,
        /// The message of c10d.
        message: String,
    },
    /// A key was not set in time.
    #[error("key '{key}' was not set in the store at {address} within {} s", .timeout.as_secs_f64())]
    NotSet {
        /// Address of the store.
        address: Address,
        /// The key.
        key: String,
        /// How long this process waited.
        timeout: Duration,
    },
    /// The connection to the server is lost.
    #[error(
        "lost the connection to the store at {address}: rank 0, or the launcher that hosts it, has exited ({message})"
    )]
    Lost {
        /// Address of the server.
        address: Address,
        /// The message of c10d.
        message: String,
    },
    /// A key, prefix or host name contains a zero byte.
    #[error("{text:?} contains a zero byte, which names in a store must not")]
    ZeroByte {
        /// The name.
        text: String,
    },
}

impl Store {
    /// Starts a server on a port of this machine (0 chooses a free one) and connects to it.
    ///
    /// # Errors
    /// Returns [`StoreError::PortInUse`] if the port is in use, and [`StoreError::Unreachable`] if `master` names
    /// another machine.
    pub fn host(master: &Address, timeout: Duration) -> Result<Self, StoreError> {
        Self::open(master, true, timeout)
    }

    /// Connects to the server of another process, which may start until the timeout.
    ///
    /// # Errors
    /// Returns [`StoreError::Unreachable`] if the server cannot be reached in time.
    pub fn connect(master: &Address, timeout: Duration) -> Result<Self, StoreError> {
        // c10d's timeout does not cover a program that accepts the connection and never responds. In that case the
        // connecting thread is left running.
        let (sender, receiver) = channel();
        let address = master.clone();
        thread::spawn(move || {
            let _ = sender.send(Self::open(&address, false, timeout));
        });
        receiver.recv_timeout(timeout.saturating_add(GRACE)).unwrap_or_else(|_| {
            let message = "the program listening there is not a store".to_owned();
            Err(StoreError::Unreachable { address: master.clone(), timeout, message })
        })
    }

    fn open(master: &Address, is_server: bool, timeout: Duration) -> Result<Self, StoreError> {
        let host = name(&master.host)?;
        let mut port = master.port;
        let (asked, wait) = (master.port, milliseconds(timeout));
        // SAFETY: the shim writes a store allocated with `new` and the port. `host` ends in a zero byte and outlives
        // the call.
        let raw = unsafe {
            Owned::make(raw::c10d_store_free, |store, message| {
                raw::c10d_store_new(host.as_ptr(), asked, is_server, wait, store, &mut port, message)
            })
        };
        let raw = raw.map_err(|failure| match failure.message {
            message if is_server && TAKEN.iter().any(|text| message.contains(text)) => {
                StoreError::PortInUse { port: asked }
            }
            message => StoreError::Unreachable { address: master.clone(), timeout, message },
        })?;
        Ok(Self { raw, address: Address { host: master.host.clone(), port } })
    }

    /// Returns the same store with the prefix `prefix` for every key. It keeps the connection and the server alive.
    ///
    /// # Errors
    /// Returns [`StoreError::ZeroByte`] if the prefix contains a zero byte.
    pub fn prefixed(&self, prefix: &str) -> Result<Self, StoreError> {
        let prefix = name(prefix)?;
        // SAFETY: the shim writes a store allocated with `new`. Store and prefix outlive the call.
        let raw = unsafe {
            Owned::make(raw::c10d_store_free, |prefixed, message| {
                raw::c10d_store_prefixed(self.raw.as_ptr(), prefix.as_ptr(), prefixed, message)
            })
        };
        let raw = raw.map_err(|failure| self.lost(failure))?;
        Ok(Self { raw, address: self.address.clone() })
    }

    /// Address of the server.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// Returns [`StoreError::Lost`] if the connection is lost, and [`StoreError::ZeroByte`] if the key contains a zero
    /// byte.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.with_key(key, |store, key, message| {
            // SAFETY: all pointers are of things that outlive the call.
            unsafe { raw::c10d_store_set(store, key, value.as_ptr(), value.len(), message) }
        })
    }

    /// Returns the value of a key. Waits until the key is set.
    ///
    /// # Errors
    /// Returns [`StoreError::NotSet`] after the timeout, [`StoreError::Lost`] if the connection is lost, and
    /// [`StoreError::ZeroByte`] if the key contains a zero byte.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, StoreError> {
        self.wait(key, timeout)?;
        let (mut value, mut length) = (std::ptr::null_mut(), 0);
        self.with_key(key, |store, key, message| {
            // SAFETY: all pointers are of things that outlive the call.
            unsafe { raw::c10d_store_get(store, key, &mut value, &mut length, message) }
        })?;
        // SAFETY: the call has not failed, so it has written both.
        Ok(unsafe { raw::take_bytes(value, length) })
    }

    /// Atomically adds to the number stored under a key, initially 0. Returns the sum.
    ///
    /// # Errors
    /// Returns [`StoreError::Lost`] if the connection is lost, and [`StoreError::ZeroByte`] if the key contains a zero
    /// byte.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64, StoreError> {
        let mut sum = 0;
        self.with_key(key, |store, key, message| {
            // SAFETY: all pointers are of things that outlive the call.
            unsafe { raw::c10d_store_add(store, key, amount, &mut sum, message) }
        })?;
        Ok(sum)
    }

    /// Waits until a key is set.
    ///
    /// # Errors
    /// Returns [`StoreError::NotSet`] after the timeout, [`StoreError::Lost`] if the connection is lost, and
    /// [`StoreError::ZeroByte`] if the key contains a zero byte.
    pub fn wait(&self, key: &str, timeout: Duration) -> Result<(), StoreError> {
        let c_key = name(key)?;
        // SAFETY: all pointers are of things that outlive the call.
        let waited = call(|message| unsafe {
            raw::c10d_store_wait(self.raw.as_ptr(), c_key.as_ptr(), milliseconds(timeout), message)
        });
        waited.map_err(|failure| match failure.kind {
            Kind::Store | Kind::TimedOut => {
                StoreError::NotSet { address: self.address.clone(), key: key.to_owned(), timeout }
            }
            Kind::Network | Kind::Other => self.lost(failure),
        })
    }

    /// Returns whether a key is set.
    ///
    /// # Errors
    /// Returns [`StoreError::Lost`] if the connection is lost, and [`StoreError::ZeroByte`] if the key contains a zero
    /// byte.
    pub fn has(&self, key: &str) -> Result<bool, StoreError> {
        let mut is_there = false;
        self.with_key(key, |store, key, message| {
            // SAFETY: all pointers are of things that outlive the call.
            unsafe { raw::c10d_store_check(store, key, &mut is_there, message) }
        })?;
        Ok(is_there)
    }

    /// The C++ store, for a call.
    pub(crate) fn as_ptr(&self) -> *mut RawStore {
        self.raw.as_ptr()
    }

    fn with_key(
        &self,
        key: &str,
        function: impl FnOnce(*mut RawStore, *const c_char, raw::Message) -> std::ffi::c_int,
    ) -> Result<(), StoreError> {
        let key = name(key)?;
        call(|message| function(self.raw.as_ptr(), key.as_ptr(), message)).map_err(|failure| self.lost(failure))
    }

    fn lost(&self, failure: Failure) -> StoreError {
        StoreError::Lost { address: self.address.clone(), message: failure.message }
    }
}

/// Converts a name to a C string.
pub(crate) fn name(text: &str) -> Result<CString, StoreError> {
    CString::new(text).map_err(|_| StoreError::ZeroByte { text: text.to_owned() })
}

/// Code paths that make c10d write to standard error are tested in separate processes (`tests/processes/faults.rs`).
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    fn store() -> Store {
        let free = Address { host: "127.0.0.1".to_owned(), port: 0 };
        Store::host(&free, Duration::from_secs(10)).expect("port 0 selects a free port")
    }

    #[test]
    fn values_are_visible_to_other_connections() {
        let server = store();
        let client = Store::connect(server.address(), Duration::from_secs(10)).expect("a server");
        client.set("a", b"\0 any bytes \xff").unwrap();
        assert_eq!(server.get("a", SHORT).unwrap(), b"\0 any bytes \xff");
        client.set("empty", b"").unwrap();
        assert_eq!(server.get("empty", SHORT).unwrap(), b"");
        assert!(server.has("a").unwrap() && !server.has("b").unwrap());
    }

    #[test]
    fn additions_are_shared_between_connections() {
        let server = store();
        let client = Store::connect(server.address(), Duration::from_secs(10)).expect("a server");
        assert_eq!(server.add("n", 2).unwrap(), 2);
        assert_eq!(client.add("n", -5).unwrap(), -3);
    }

    #[test]
    fn a_prefix_keeps_keys_apart() {
        let store = store();
        let (first, second) = (store.prefixed("1").unwrap(), store.prefixed("2").unwrap());
        first.set("key", b"first").unwrap();
        assert!(!second.has("key").unwrap());
        drop(store);
        assert_eq!(first.get("key", SHORT).unwrap(), b"first", "the server lives with the prefixed store");
    }

    #[test]
    fn a_port_in_use_is_reported() {
        let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let master = Address { host: "127.0.0.1".to_owned(), port };
        assert_eq!(Store::host(&master, SHORT).expect_err("the port is in use"), StoreError::PortInUse { port });
    }

    #[test]
    fn a_zero_byte_in_a_key_is_rejected() {
        assert!(matches!(store().set("a\0b", b""), Err(StoreError::ZeroByte { .. })));
    }
}
