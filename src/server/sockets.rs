//! Connections of this process that are not to wait before they send (TCP_NODELAY).
//!
//! Servers let the connections between nodes gather what they send: a heartbeat is in no hurry. A question and its answer
//! are, and with several under way at once each waits for an acknowledgement that the other side delays by 40 ms. The module
//! API gives no access to these connections, but they are this process's own, and the port at their other end tells which
//! they are. Nothing is read or written here, and an option that does not take is no error.

use std::mem;
use std::os::raw::c_int;
use std::sync::Mutex;

/// Descriptors that are looked at each time: these many from 0 on, where connections made early are, ...
const FIRST: c_int = 256;

/// ... and as many more, in turns.
const MORE: c_int = 256;

/// The most descriptors that are ever looked at.
const MOST: c_int = 1 << 16;

#[derive(Default)]
struct Search {
    /// Where the next look begins.
    next: c_int,
    /// Descriptors that were such connections when last looked at.
    found: Vec<c_int>,
}

static SEARCH: Mutex<Search> = Mutex::new(Search {
    next: FIRST,
    found: Vec::new(),
});

/// Looks for connections to these ports, and has them send at once. To be called every second or so: connections come and
/// go. How many there are.
pub fn send_at_once(ports: &[u16]) -> usize {
    let mut search = super::lock(&SEARCH);
    let end = search.next + MORE;
    let known = mem::take(&mut search.found).into_iter();
    let known = known
        .filter(|&descriptor| descriptor >= FIRST && !(search.next..end).contains(&descriptor));
    let looked_at: Vec<c_int> = (0..FIRST).chain(search.next..end).chain(known).collect();
    let is_one = |descriptor: &c_int| {
        peer_port(*descriptor).is_some_and(|port| ports.contains(&port)) && hurry(*descriptor)
    };
    search.found = looked_at.into_iter().filter(is_one).collect();
    search.next = if end < most() { end } else { FIRST };
    search.found.len()
}

/// Descriptors that this process may have.
fn most() -> c_int {
    // SAFETY: an all-zero limit is valid and is filled in.
    unsafe {
        let mut limit: libc::rlimit = mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return MOST;
        }
        c_int::try_from(limit.rlim_cur).unwrap_or(MOST).min(MOST)
    }
}

/// The port at the other end of a connection; `None` for what is no connection over IP.
fn peer_port(descriptor: c_int) -> Option<u16> {
    // SAFETY: the storage is large enough for an address of any family, which is looked at as the family says that it is.
    // A descriptor that is none, or no socket, is an error.
    unsafe {
        let mut storage: libc::sockaddr_storage = mem::zeroed();
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let address = &raw mut storage;
        if libc::getpeername(descriptor, address.cast(), &mut length) != 0 {
            return None;
        }
        let port = match c_int::from(storage.ss_family) {
            libc::AF_INET => (*address.cast::<libc::sockaddr_in>()).sin_port,
            libc::AF_INET6 => (*address.cast::<libc::sockaddr_in6>()).sin6_port,
            _ => return None,
        };
        Some(u16::from_be(port))
    }
}

fn hurry(descriptor: c_int) -> bool {
    let on: c_int = 1;
    // SAFETY: the option is an integer, and its length is that of one.
    unsafe {
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        ) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_to_a_port_are_found_again_and_again() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let found = |number: usize| {
                // A descriptor may be a high one, which is looked at in turns.
                assert!((0..512).any(|_| send_at_once(&[port]) == number));
            };
            found(0);
            let first = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            found(1);
            assert!(first.nodelay().unwrap());
            let second = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            found(2);
            assert!(second.nodelay().unwrap());
            drop(first);
            found(1);
        }
    }
}
