"""Published answers: SHA-256 vectors of NIST and headers of the bitcoin chain.

Owns the data and where it comes from; `verify` owns what is done with it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vector:
    """A message and its SHA-256 (one hash, not two)."""

    source: str
    message: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the main chain: its 80-byte header and its hash as explorers write it.

    A header proves itself: nobody can make another one whose hash is as low.
    """

    height: int
    header: bytes
    hash: str

    @property
    def nonce(self) -> int:
        """The nonce the header was found with."""
        return int.from_bytes(self.header[76:], "little")

    @property
    def target(self) -> int:
        """The target its compact `bits` field stands for."""
        bits = int.from_bytes(self.header[72:76], "little")
        return (bits & 0x7FFFFF) << 8 * ((bits >> 24) - 3)


# FIPS 180-4 with NIST's file of examples (SHA256.pdf): one block, two blocks, many blocks.
# CAVP: SHA256ShortMsg.rsp and SHA256LongMsg.rsp of shabytetestvectors.zip, by Len in bits.
VECTORS = (
    Vector("FIPS 180-4 one block", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    Vector(
        "FIPS 180-4 two blocks",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    Vector(
        "FIPS 180-4 a million a",
        b"a" * 1_000_000,
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    ),
    Vector("CAVP short 0", b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    Vector("CAVP short 8", bytes.fromhex("d3"), "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
    Vector("CAVP short 16", bytes.fromhex("11af"), "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
    Vector(
        "CAVP short 64",
        bytes.fromhex("5738c929c4f4ccb6"),
        "963bb88f27f512777aab6c8b1a02c70ec0ad651d428f870036e1917120fb48bf",
    ),
    Vector(
        "CAVP short 128",
        bytes.fromhex("0a27847cdc98bd6f62220b046edd762b"),
        "80c25ec1600587e7f28b18b1b18e3cdc89928e39cab3bc25e4d4a4c139bcedc4",
    ),
    Vector(
        "CAVP short 256",
        bytes.fromhex("09fc1accc230a205e4a208e64a8f204291f581a12756392da4b8c0cf5ef02b95"),
        "4f44c1c7fbebb6f9601829f3897bfd650c56fa07844be76489076356ac1886a4",
    ),
    Vector(
        "CAVP short 504",
        bytes.fromhex(
            "e2f76e97606a872e317439f1a03fcd92e632e5bd4e7cbc4e97f1afc19a16fde9"
            "2d77cbe546416b51640cddb92af996534dfd81edb17c4424cf1ac4d75aceeb"
        ),
        "18041bd4665083001fba8c5411d2d748e8abbfdcdfd9218cb02b68a78e7d4c23",
    ),
    Vector(
        "CAVP short 512",
        bytes.fromhex(
            "5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8"
            "a650547208251f6d4237e661c7bf4c77f335390394c37fa1a9f9be836ac28509"
        ),
        "42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa",
    ),
    Vector(
        "CAVP long 1304",
        bytes.fromhex(
            "451101250ec6f26652249d59dc974b7361d571a8101cdfd36aba3b5854d3ae086b5fdd4597721b66e3c0dc5d8c606d96"
            "57d0e323283a5217d1f53f2f284f57b85c8a61ac8924711f895c5ed90ef17745ed2d728abd22a5f7a13479a462d71b56"
            "c19a74a40b655c58edfe0a188ad2cf46cbf30524f65d423c837dd1ff2bf462ac4198007345bb44dbb7b1c861298cdf61"
            "982a833afc728fae1eda2f87aa2c9480858bec"
        ),
        "3c593aa539fdcdae516cdf2f15000f6634185c88f505b39775fb9ab137a10aa2",
    ),
)

# CAVP SHA256Monte.rsp, COUNT = 0: 1000 hashes, each of the three digests before it.
MONTE_CARLO_SEED = bytes.fromhex("6d1e72ad03ddeb5de891e572e2396f8da015d899ef0e79503152d6010a3fe691")
MONTE_CARLO_FIRST = "e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788"

BLOCKS = (
    Block(
        0,
        bytes.fromhex(
            "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
            "29ab5f49ffff001d1dac2b7c"
        ),
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    ),
    Block(
        1,
        bytes.fromhex(
            "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000"
            "982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299"
        ),
        "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
    ),
    Block(
        170,
        bytes.fromhex(
            "0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000"
            "ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166562cac7d51b96a49ffff001d283e9e70"
        ),
        "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee",
    ),
    Block(
        100_000,
        bytes.fromhex(
            "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd0020000000000"
            "6657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710"
        ),
        "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
    ),
    Block(
        125_552,
        bytes.fromhex(
            "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000"
            "e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"
        ),
        "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
    ),
    Block(
        800_000,
        bytes.fromhex(
            "00601d3455bb9fbd966b3ea2dc42d0c22722e4c0c1729fad172101000000000000000000"
            "55087fab0c8f3f89f8bcfd4df26c504d81b0a88e04907161838c0c53001af09135edbd64943805175e955e06"
        ),
        "00000000000000000002a7c4c1e48d76c5a37902165a270156b7a8d72728a054",
    ),
)
"""From the genesis block to one whose version a miner rolled (0x341d6000)."""

ROLLED_MASK = 0x1FFFE000
"""The version bits BIP 320 leaves free."""
