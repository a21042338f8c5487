//! How a backend of `https` proves who it is: `upstream.ca` and `upstream.verify`.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::{Compiler, secret};
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::Tls;

/// The authorities of the whole world fit into a quarter of this.
const MAX_BYTES: u64 = 1024 * 1024;
const CA: &str = "{ file: PATH }";

/// Whether there are certificates for such a host.
pub fn can_be_certified(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// What its `https` targets are asked for; `None` where there are none (`secured`), or
/// where it cannot be had (reported). `place` is that of `upstream`.
pub fn tls(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Upstream>,
    secured: bool,
    place: &Place,
) -> Option<Arc<Tls>> {
    let (ca, verify) = match raw {
        Some(raw::Upstream::Mapping(mapping)) => (mapping.ca.as_ref(), mapping.verify),
        _ => (None, None),
    };
    if !secured {
        for (member, written) in [("ca", ca.is_some()), ("verify", verify.is_some())] {
            if written {
                compiler
                    .report
                    .key(&place.key(member), format!("`{member}` has no meaning without TLS"))
                    .hint("it is for backends of `https://`");
            }
        }
        return None;
    }
    let roots = match (ca, verify) {
        (Some(_), Some(false)) => {
            compiler
                .report
                .key(&place.key("ca"), "`ca` has no meaning with `verify: false`")
                .hint("remove `verify`: with `ca` alone, only that authority is trusted");
            return None;
        }
        (None, Some(false)) => {
            compiler.warn(format!(
                "site {}: the backend's certificate is not looked at (`verify: false`): whoever \
                 is on the way to it can read and change everything",
                place
                    .parent()
                    .and_then(|site| site.last_key().map(str::to_owned))
                    .unwrap_or_default()
            ));
            None
        }
        (Some(ca), _) => Some(Arc::new(own_roots(compiler, ca, &place.key("ca"))?)),
        (None, _) => Some(system_roots(compiler, place)?),
    };
    match Tls::new(roots) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            compiler.report.key(place, format!("there can be no TLS here: {error}"));
            None
        }
    }
}

fn own_roots(
    compiler: &mut Compiler<'_, '_>,
    ca: &raw::Authorities,
    place: &Place,
) -> Option<RootCertStore> {
    let Some(named) = &ca.file else {
        if !compiler.report.lost_something_in(place) {
            compiler.report.key(place, "authorities from nowhere").expected(CA);
        }
        return None;
    };
    let place = place.key("file");
    let mut roots = RootCertStore::empty();
    let Some((path, pem)) = secret::file_up_to(compiler, named, MAX_BYTES, &place) else {
        // Not to be read, and nobody will connect either.
        return (!compiler.options.secrets).then_some(roots);
    };
    let shown = path.display();
    let mut problem = None;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        match certificate.map_err(|error| error.to_string()) {
            Ok(certificate) => {
                problem = roots.add(certificate).err().map(|error| error.to_string()).or(problem);
            }
            Err(error) => problem = Some(error),
        }
    }
    let problem = match problem {
        Some(problem) => format!("{shown}: a certificate in it cannot be used: {problem}"),
        None if roots.is_empty() => format!("{shown}: there is no certificate in it"),
        None => return Some(roots),
    };
    compiler.report.value(&place, problem).expected("certificates of authorities, in PEM");
    None
}

/// What this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others). Read with each
/// load of the configuration.
fn system_roots(compiler: &mut Compiler<'_, '_>, place: &Place) -> Option<Arc<RootCertStore>> {
    if let Some(roots) = &compiler.system_roots {
        return Some(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    if !compiler.options.secrets {
        return Some(Arc::new(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        compiler
            .report
            .key(place, format!("this machine trusts no certificate authority{why}"))
            .hint("install ca-certificates, set SSL_CERT_FILE, or name one: ca: { file: … }");
        return None;
    }
    Some(compiler.system_roots.insert(Arc::new(roots)).clone())
}
