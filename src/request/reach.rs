//! Where on the net a host is, by its name or address alone.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// How far from the public internet a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reach {
    /// Anywhere; a name too, for what it stands for is the business of whoever runs it.
    Public,
    /// This machine and its networks: loopback, private and shared addresses, and all that is no unicast address.
    Private,
    /// This link, and the metadata services of clouds, which hand out credentials to whoever asks.
    Link,
}

impl Reach {
    pub(crate) fn of(host: &Host<&str>) -> Self {
        match host {
            Host::Domain(name) => of_name(name),
            Host::Ipv4(address) => of_v4(*address),
            Host::Ipv6(address) => of_v6(*address),
        }
    }
}

/// Whether a URL is of this machine itself, by a name or address that never leaves it (RFC 6761 §6.3).
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn of_name(name: &str) -> Reach {
    let name = name.trim_end_matches('.');
    match name {
        "metadata" | "metadata.google.internal" | "metadata.goog" | "instance-data" => Reach::Link,
        _ if name == "localhost" || name.ends_with(".localhost") => Reach::Private,
        _ => Reach::Public,
    }
}

// RFC 6890 and its registry; the addresses of Alibaba, Oracle and Azure are their own.
fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [169, 254, ..] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Reach::Link,
        [0 | 10 | 127, ..] | [192, 168, ..] | [192, 0, 0, _] => Reach::Private,
        [172, second, ..] if second & 0xF0 == 16 => Reach::Private,
        [100, second, ..] if second & 0xC0 == 64 => Reach::Private,
        [198, 18 | 19, ..] | [224..=255, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // fd00:ec2::254 is Amazon's, fd20:ce::254 Google's.
        [0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254] | [0xFD20, 0xCE, 0, 0, 0, 0, 0, 0x254] => Reach::Link,
        [first, ..] if first & 0xFFC0 == 0xFE80 => Reach::Link,
        // An IPv4 address in another coat: mapped (with and without translation), NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0, 0, 0, 0, 0xFFFF, 0, high, low] => v4(high, low),
        [0x64, 0xFF9B, 0 | 1, _, _, _, high, low] | [0x2002, high, low, ..] => v4(high, low),
        // `::`, `::1`, and the old "compatible" form of an IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Private,
        [0, 0, 0, 0, 0, 0, high, low] => v4(high, low),
        // Unique local, site-local, multicast.
        [first, ..] if first & 0xFE00 == 0xFC00 || first & 0xFFC0 == 0xFEC0 || first >= 0xFF00 => {
            Reach::Private
        }
        _ => Reach::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_in_every_coat() {
        for (host, reach) in [
            ("api.example.com", Reach::Public),
            ("93.184.215.14", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("[2606:2800::1]", Reach::Public),
            ("[::ffff:93.184.215.14]", Reach::Public),
            ("localhost", Reach::Private),
            ("a.LOCALHOST.", Reach::Private),
            ("127.0.0.1", Reach::Private),
            ("127.1", Reach::Private),
            ("2130706433", Reach::Private),
            ("0", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("0xc0.0250.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("255.255.255.255", Reach::Private),
            ("[::1]", Reach::Private),
            ("[::]", Reach::Private),
            ("[fd12::1]", Reach::Private),
            ("[::ffff:10.0.0.1]", Reach::Private),
            ("[::7f00:1]", Reach::Private),
            ("[2002:7f00:1::]", Reach::Private),
            ("169.254.169.254", Reach::Link),
            ("0xA9FEA9FE", Reach::Link),
            ("[fe80::1]", Reach::Link),
            ("[fd00:ec2::254]", Reach::Link),
            ("[::ffff:169.254.169.254]", Reach::Link),
            ("[64:ff9b::a9fe:a9fe]", Reach::Link),
            ("metadata.google.internal.", Reach::Link),
        ] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert_eq!(Reach::of(&url.host().unwrap()), reach, "{host}");
        }
    }
}
