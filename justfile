# Every task of the project. `just` alone lists them.

_list:
    @just --list

# What CI runs.
ci:
    ./test

# Gateway, example website and example chat; prints the page to open.
demo:
    cargo run --release -- demo

# Unit tests and vectors only: seconds.
quick:
    cargo test --lib --test vectors --test configs --test tidy

# Rewrite generated and golden files after looking at what changed.
golden:
    UPDATE_GOLDEN=1 cargo test --test configs

# Licences, advisories, bans (installs cargo-deny if it is missing).
deny:
    cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
    cargo deny check

# The gate's own cost and every algorithm's (criterion).
bench:
    cargo bench --bench gate

# CPU time a request against a bare Pingora proxy of the same lock file.
bench-process:
    cargo bench --bench end_to_end
