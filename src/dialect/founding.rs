//! The founding dialects, built by hand for tests of the proof itself.

use super::*;

pub(crate) fn pointer(path: &str) -> Pointer {
    Pointer(path.split('/').skip(1).map(str::to_owned).collect())
}

pub(crate) fn claim(path: &str) -> Pattern {
    Pattern::Claim(pointer(path))
}

/// A general token: `sub` and `exp`, every algorithm.
pub(crate) fn jwt() -> Dialect {
    let rules = JwtRules {
        algorithms: Algorithm::ALL.to_vec(),
        key: KeySelection::KidIfPresent,
        required_header: Vec::new(),
        max_bytes: 8192,
        warn_bytes: None,
        leeway_iat: 60,
        leeway_exp: 60,
        max_lifetime: None,
        lifetime_without_exp: None,
        single_use: false,
        min_remaining: 0,
        claims: ClaimRules {
            id: vec![claim("/sub")],
            name: vec![claim("/name")],
            email: vec![claim("/email")],
            required: vec![
                (pointer("/sub"), ClaimType::String),
                (pointer("/exp"), ClaimType::Time),
            ],
            audience: AudienceRule::Aud,
            ..ClaimRules::default()
        },
    };
    let source = |carrier| Source { carrier, shared: false };
    let names = |proof: &str| Names { proof: proof.to_owned(), ..Names::default() };
    Dialect {
        name: "jwt".into(),
        title: "JSON Web Token".to_owned(),
        documented_at: None,
        sources: vec![
            source(Carrier::Header {
                names: names("authorization"),
                scheme: Some("Bearer".to_owned()),
            }),
            source(Carrier::Query { names: names("access_token"), scheme: None }),
            source(Carrier::Cookie { names: names("countersign_jwt") }),
        ],
        mechanism: Mechanism::Jwt(rules),
        unsigned: UnsignedRules::default(),
    }
}

pub(crate) fn zendesk_chat() -> Dialect {
    with(jwt(), "zendesk-chat", |rules| {
        rules.algorithms = vec![Algorithm::HS256];
        rules.key = KeySelection::KidOrAny;
        rules.leeway_iat = 120;
        rules.leeway_exp = 0;
        rules.max_lifetime = Some(420);
        rules.lifetime_without_exp = Some(420);
        rules.claims.id = vec![claim("/external_id")];
        rules.claims.required =
            vec![(pointer("/external_id"), ClaimType::String), (pointer("/iat"), ClaimType::Time)];
        rules.claims.audience = AudienceRule::None;
    })
}

pub(crate) fn ringcentral_engage() -> Dialect {
    with(jwt(), "ringcentral-engage", |rules| {
        rules.algorithms = vec![Algorithm::HS256, Algorithm::RS256];
        rules.key = KeySelection::Kid;
        rules.required_header = ["typ", "alg", "kid"].map(str::to_owned).to_vec();
        rules.leeway_iat = 10;
        rules.leeway_exp = 10;
        rules.claims.id = vec![claim("/uuid")];
        rules.claims.name = vec![
            claim("/screenname"),
            Pattern::Text(vec![
                Piece::Claim(pointer("/firstname")),
                Piece::Literal(" ".to_owned()),
                Piece::Claim(pointer("/lastname")),
            ]),
        ];
        rules.claims.keep = ["screenname", "firstname", "lastname"].map(str::to_owned).to_vec();
        rules.claims.required =
            vec![(pointer("/uuid"), ClaimType::String), (pointer("/exp"), ClaimType::Time)];
        rules.claims.audience = AudienceRule::None;
    })
}

pub(crate) fn amazon_connect(widget: &str) -> Dialect {
    let mut dialect = with(jwt(), "amazon-connect", |rules| {
        rules.algorithms = vec![Algorithm::HS256];
        rules.key = KeySelection::Any;
        rules.max_bytes = 6144;
        rules.warn_bytes = Some(3000);
        rules.max_lifetime = Some(600);
        rules.claims.id = vec![claim("/customerId")];
        rules.claims.id_optional = true;
        rules.claims.name = vec![claim("/attributes/name")];
        rules.claims.email = vec![claim("/attributes/email")];
        rules.claims.attributes = Attributes::At(pointer("/attributes"));
        rules.claims.required =
            vec![(pointer("/iat"), ClaimType::Time), (pointer("/exp"), ClaimType::Time)];
        rules.claims.optional = vec![(pointer("/attributes"), ClaimType::Strings)];
        rules.claims.audience = AudienceRule::Sub;
        rules.claims.audiences = vec![widget.to_owned()];
    });
    dialect.unsigned.prefix = Some("HostedWidget-".to_owned());
    dialect
}

pub(crate) fn user_hash() -> Dialect {
    let names = Names {
        proof: "identifier_hash".to_owned(),
        id: Some("user_id".to_owned()),
        email: Some("email".to_owned()),
        name: Some("name".to_owned()),
    };
    let field = |name: &str, proof| UnsignedField {
        name: FieldName::Plain(name.to_owned()),
        proof,
        prefix: None,
    };
    Dialect {
        name: "user-hash".into(),
        sources: vec![Source { carrier: Carrier::Query { names, scheme: None }, shared: false }],
        mechanism: Mechanism::Hmac(HmacRules {
            hash: HashFunction::Sha256,
            message: vec![MessagePiece::Field(vec![HashField::Id])],
            output: Output::Hex,
        }),
        unsigned: UnsignedRules {
            fields: vec![
                field("user_id", Some(FieldProof::Hashed(HashField::Id))),
                field("name", None),
            ],
            ..UnsignedRules::default()
        },
        ..jwt()
    }
}

/// A dialect with other rules for its tokens.
pub(crate) fn with(mut dialect: Dialect, name: &str, change: impl Fn(&mut JwtRules)) -> Dialect {
    dialect.name = name.into();
    if let Mechanism::Jwt(rules) = &mut dialect.mechanism {
        change(rules);
    }
    dialect
}

/// A secret key of that id.
pub(crate) fn secret(id: &str, algorithm: Algorithm, text: &str) -> Key {
    let secret = crate::secret::Secret::new(text.as_bytes().to_vec());
    Key::secret(id, algorithm, &secret).unwrap()
}

/// A keyring of these keys.
pub(crate) fn ring(keys: impl IntoIterator<Item = Key>) -> Keyring {
    Keyring::new(keys.into_iter().map(Arc::new).collect())
}
