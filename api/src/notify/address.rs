//! Which addresses may be sent to. A receiver's name may come to mean a machine inside, by mistake or by somebody's will.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether an address is of a private network, of this machine, or of none that can be reached from outside.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_documentation()
        || v4.is_multicast()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // carriers' own (RFC 6598)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)) // benchmarks (RFC 2544)
        || a >= 240
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    // An address of version 4 in any of its wrappings is what it wraps: mapped, translated (RFC 6052) or tunnelled (RFC 3056).
    let [_, _, _, _, _, _, high, low] = v6.segments();
    let wrapped = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    let v4 = v6.to_ipv4().or_else(|| wrapped.map(|(high, low)| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))));
    v4.is_some_and(is_private_v4)
        || v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || (first & 0xfe00) == 0xfc00
        || (first & 0xffc0) == 0xfe80
        || (first == 0x2001 && v6.segments()[1] == 0xdb8)
}

/// Whether an address names such a place outright. Names are looked at when they are resolved.
pub(super) fn is_private_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => is_private(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => is_private(IpAddr::V6(v6)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
        }
        None => true,
    }
}

/// A name that leads inside.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to {address}, in a private network or on this machine; if that is meant, say so with allow_private = true")]
struct PrivateAddress {
    address: IpAddr,
}

/// Resolves names to public addresses only.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            // One that leads inside spoils all: the next connection may take it.
            if let Some(private) = found.iter().map(SocketAddr::ip).find(|address| is_private(*address)) {
                return Err(PrivateAddress { address: private }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_resolved() {
        let refused = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().to_string().contains("allow_private"));
    }

    #[test]
    fn what_lies_inside_is_known_in_every_form() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "ff02::1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
        for url in
            ["http://localhost/", "http://LOCALHOST./", "http://a.localhost", "http://2130706433/", "http://0x7f.1/", "http://[::1]:80/"]
        {
            assert!(is_private_host(&Url::parse(url).unwrap()), "{url}");
        }
        assert!(!is_private_host(&Url::parse("https://hooks.example.com/x").unwrap()));
    }
}
