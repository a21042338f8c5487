//! Sends what is on its way, a batch at a time, for as long as Redis takes it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use redis::{RedisError, RedisResult};

use super::entry::EntryId;
use super::layout::{Context, Manner};
use super::link::{Kind, Link, Trouble};
use super::queue::{Item, Outcome};
use super::shared::Shared;
use crate::store::{Change, Outage};
use crate::telemetry::StoreOperation;

/// Most changes in one round trip.
const BATCH: usize = 128;

/// Runs for ever.
pub async fn keep(shared: Arc<Shared>) {
    until_done(&shared, || send_all(&shared)).await;
}

/// Has the work done again when it ends unexpectedly: what was being sent is lost then, and
/// whoever waits for it told so, but what comes later is not.
async fn until_done<W: Future<Output = ()>>(shared: &Shared, work: impl Fn() -> W) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        shared.close(&Trouble::lost("sending changes ended unexpectedly"));
        shared.queue.sent();
    }
}

async fn send_all(shared: &Shared) {
    let mut links = shared.link.subscribe();
    loop {
        shared.queue.some().await;
        let link = match links.wait_for(Option::is_some).await {
            Ok(link) => link.clone(),
            Err(_) => return,
        };
        let Some(link) = link else { continue };
        let batch = shared.queue.take(BATCH);
        if let Err((batch, trouble)) = send(shared, link, batch).await {
            shared.close(&trouble);
            shared.queue.put_back(batch, &shared.outage());
        }
        shared.queue.sent();
    }
}

/// Makes the changes of a batch; hands back what cannot be made now.
async fn send(
    shared: &Shared,
    mut link: Link,
    batch: Vec<Item>,
) -> Result<(), (Vec<Item>, Trouble)> {
    let mut calls = redis::pipe();
    calls.ignore_errors();
    for item in &batch {
        let manner = match item.wait {
            Some((until, _)) => Manner::Before(link.theirs(until)),
            None => Manner::Told,
        };
        link.caller.change(&mut calls, &item.change, manner, &context(shared, &item.change));
    }
    let start = Instant::now();
    let answers: RedisResult<Vec<RedisResult<Option<String>>>> =
        calls.query_async(&mut link.connection).await;
    shared.metrics.store_operated(StoreOperation::Commit, start.elapsed());
    let answers = match answers {
        Ok(answers) if answers.len() == batch.len() => answers,
        Ok(_) => return Err((batch, Trouble::lost("an answer that makes no sense"))),
        Err(error) => return Err((batch, error.into())),
    };
    let mut stopped: Option<Trouble> = None;
    let mut back = Vec::new();
    for (item, answer) in batch.into_iter().zip(answers) {
        match outcome(answer) {
            Ok(outcome) => settle(shared, item, outcome),
            Err(trouble) => {
                stopped.get_or_insert(trouble);
                back.push(item);
            }
        }
    }
    match stopped {
        Some(trouble) => Err((back, trouble)),
        None => Ok(()),
    }
}

fn settle(shared: &Shared, item: Item, outcome: Outcome) {
    match outcome {
        // Nobody hears of it otherwise.
        Err(why) if item.wait.is_none() => {
            tracing::warn!(server = %shared.server, problem = why.0, "a change is not kept");
            shared.queue.drop_item(Some(item));
        }
        outcome => item.settle(outcome),
    }
}

/// What became of a change; an error, if it may be made later.
fn outcome(answer: RedisResult<Option<String>>) -> Result<Outcome, Trouble> {
    match answer.map_err(Trouble::from) {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(id)) => match EntryId::parse(&id) {
            Some(id) => Ok(Ok(Some(id))),
            None => Err(Trouble::lost("an answer that makes no sense")),
        },
        // The same again would be answered the same again: it must not stand in the way.
        Err(trouble) if trouble.kind == Kind::Asked => Ok(Err(Outage(trouble.said))),
        Err(trouble) => Err(trouble),
    }
}

/// What memory knows about a change.
pub fn context(shared: &Shared, change: &Change) -> Context {
    let Some(site) = shared.memory.site(change.site()) else { return Context::default() };
    let visit = match change {
        Change::Details { posted, .. } => site.visits().visit(&posted.visitor, posted.at),
        _ => None,
    };
    Context { most: site.sessions.limits().of_one, visit }
}

/// Whether a change can be made at all.
///
/// # Errors
/// It cannot.
pub async fn probe(link: &mut Link) -> Result<(), Trouble> {
    let answer: Result<Option<String>, RedisError> =
        link.caller.probe().query_async(&mut link.connection).await;
    answer?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::secret::Secret;
    use crate::store::Memory;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn what_ends_unexpectedly_is_done_again_and_nobody_is_kept_waiting() {
        let memory = Arc::new(Memory::new(&Secret::new(vec![7; 32])));
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        let shared = Shared::new(memory, metrics, "here".into());
        let _ = shared.queue.take(1);
        let tries = AtomicUsize::new(0);
        until_done(&shared, || async {
            assert!(tries.fetch_add(1, Ordering::Relaxed) > 0, "the first try");
        })
        .await;
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        assert!(shared.outage().0.contains("unexpectedly"));
        assert!(shared.queue.wait_until_empty(Duration::ZERO), "the end of the process neither");
    }
}
