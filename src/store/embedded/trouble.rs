//! What can be wrong with the file, and whether beginning an empty one would help.

use std::io;

/// Something is wrong: why, in part of a sentence for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// What lies there is not what was kept, or is of another version.
    #[error("{0}")]
    Damaged(String),
    /// It cannot be reached, read or written: a matter of folders, rights and disks.
    #[error("{0}")]
    Unreachable(String),
}

impl Trouble {
    pub(super) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(why.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // So redb says that the file is none of its own, or ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::RepairAborted => Self::Damaged(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

macro_rules! through_redb {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

through_redb! { StorageError TableError DatabaseError TransactionError CommitError }
