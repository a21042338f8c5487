//! Who is at the other end of a connection, as far as its socket says.

use std::net::Ipv4Addr;

use pingora::protocols::l4::socket::SocketAddr;

use crate::gate::Peer;

/// The client, from both ends' addresses as noted in a connection's digest.
///
/// Clients of a Unix socket have no address; one that has reset its TCP connection has lost it,
/// unless the listener noted it in time. Only the first of them is to be believed, and the
/// server's own end tells which it is.
pub fn peer(client: Option<&SocketAddr>, server: Option<&SocketAddr>) -> Peer {
    match (client, server) {
        (Some(SocketAddr::Inet(address)), _) => Peer::Ip(address.ip().to_canonical()),
        (Some(SocketAddr::Unix(_)), _) | (None, Some(SocketAddr::Unix(_))) => Peer::Unix,
        (None, _) => Peer::Ip(Ipv4Addr::UNSPECIFIED.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_an_address_is_believed_at_a_unix_socket_alone() {
        let tcp: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let unix: SocketAddr = "/run/countersign.sock".parse().unwrap();
        assert_eq!(peer(None, Some(&unix)), Peer::Unix);
        assert_eq!(peer(None, Some(&tcp)), Peer::Ip(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(peer(None, None), Peer::Ip(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(peer(Some(&tcp), None), Peer::Ip(Ipv4Addr::LOCALHOST.into()));
    }
}
