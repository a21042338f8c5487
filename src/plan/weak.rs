//! Where a site that has keys lets forged identities through all the same.

use super::Site;
use crate::gate::Mode;

impl Site {
    /// A sentence for each mode of the site and its routes in which a forged credential is not
    /// refused; none where the site has no keys, for then it promises nothing.
    pub fn weak_modes(&self) -> Vec<String> {
        if self.keys().is_empty() && !self.fetches_keys() {
            return Vec::new();
        }
        let own = std::iter::once(("this site".to_owned(), self.settings.mode));
        // A route that is `off` is what assets are for.
        let routes = self.routes.0.iter().enumerate();
        let routes =
            routes.map(|(index, route)| (format!("route {}", index + 1), route.settings.mode));
        let routes = routes.filter(|(_, mode)| *mode != Mode::Off && *mode != self.settings.mode);
        let weak = own.chain(routes).filter_map(|(place, mode)| {
            let forged = match mode {
                Mode::Require | Mode::Prefer => return None,
                Mode::Accept => "forged credentials pass as guests",
                Mode::Observe => "nobody is turned away",
                Mode::Off => "identity is not looked at",
            };
            Some(format!("mode `{}` of {place} gives no security: {forged}", mode.name()))
        });
        weak.collect()
    }
}
