//! What goes wrong on demand.

use std::collections::BTreeMap;
use std::time::Duration;

/// An error that requests of one kind get.
struct Fault {
    kind: String,
    code: i32,
    left: u64,
    /// Whether a commit is applied all the same.
    applied: bool,
}

/// Faults, delays, and how many requests of each kind there were.
#[derive(Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    delays: BTreeMap<String, Duration>,
    counts: BTreeMap<String, u64>,
}

impl Faults {
    /// Notes a request, and says what it suffers: how long it takes, and an error, which a commit
    /// may get although it is applied.
    pub(super) fn suffer(&mut self, kind: &str) -> (Duration, Option<(i32, bool)>) {
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        let delay = self.delays.get(kind).copied().unwrap_or_default();
        let fault = self.faults.iter_mut().find(|fault| fault.kind == kind && fault.left > 0);
        let fault = fault.map(|fault| {
            fault.left -= 1;
            (fault.code, fault.applied)
        });
        (delay, fault)
    }

    /// `fault KIND CODE COUNT [applied]`, `delay KIND MILLISECONDS`, `calm`, or `counts`, which
    /// answers and begins anew. Kinds are grv, get, range and commit.
    pub(super) fn command(&mut self, text: &str) -> Result<String, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse().map_err(|_| format!("{word} is no number"));
        match words.as_slice() {
            ["fault", kind, code, count, rest @ ..] => self.faults.push(Fault {
                kind: (*kind).to_owned(),
                code: number(code)? as i32,
                left: number(count)?,
                applied: rest == ["applied"],
            }),
            ["delay", kind, millis] => {
                self.delays.insert((*kind).to_owned(), Duration::from_millis(number(millis)?));
            }
            ["calm"] => {
                self.faults.clear();
                self.delays.clear();
            }
            ["counts"] => {
                let counts = std::mem::take(&mut self.counts);
                let counts = counts.iter().map(|(kind, count)| format!("{kind}={count}"));
                return Ok(counts.collect::<Vec<_>>().join(" "));
            }
            _ => return Err(format!("no such command: {text}")),
        }
        Ok("done".into())
    }
}
