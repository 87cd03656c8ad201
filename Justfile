# Few recipes, no logic: what a contributor types. Everything real is in xtask.

# What a commit must pass: format, lints, generated pages, tests without a VM.
check:
    cargo xtask check

# Install what the tests need (Debian 12 or 13; asks for sudo when not root).
setup:
    cargo xtask setup

# Everything: check, judged by others, refusals, boots in QEMU, fuzz corpora, licences.
test:
    cargo xtask test

# Every test at full count: power cuts, tortured services, restarts. Hours.
soak:
    cargo xtask soak

# The whole boot matrix, of which CI boots a part: every firmware, chipset and medium.
matrix:
    cargo xtask matrix

# The generated pages and schemas, written anew.
docs:
    cargo xtask docs

# Speed against named peers, as ratios; see docs/performance.md.
bench *ARGS:
    cargo xtask bench {{ARGS}}

# Each fuzz target for a while (seconds each).
fuzz SECONDS="300":
    cargo xtask fuzz {{SECONDS}}

# Known vulnerabilities in dependencies; needs a network.
advisories:
    cargo deny check advisories
