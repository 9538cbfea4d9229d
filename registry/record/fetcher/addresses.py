"""Which IP addresses are public."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

# Asked besides `is_global`, which has called some of these global in one Python version or another, and which
# does not look inside an IPv6 address that carries an IPv4 one.
_NEVER: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; cloud providers keep services there
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # mapped IPv4: a socket would speak IPv4
        "::ffff:0:0:0/96",  # translated IPv4
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "100::/64",  # discard
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)


def is_public(text: str) -> bool:
    """Whether anybody on the internet would reach the same host at this address; False for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not any(address in network for network in _NEVER)
