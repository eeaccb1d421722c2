//! Pages that forward scans will want next, as the server foretold them.
//!
//! Redis builds the strings of a script at more than a nanosecond per byte, which is most of what a
//! scan costs the server. Where the client knows the next pages beforehand, a script only confirms
//! that they are still the next ones, and `HMGET` reads them, in one `MULTI`. Where they are not, the
//! page is asked for again in the usual way.

use kv::{Direction, ScanRequest};
use redis::Value;

/// Scans that are remembered.
const KEPT: usize = 8;

/// Fewer rows than this are not worth pages that may have many.
const ROWS: usize = 256;

/// What a scan will want next.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    /// Where the scan ends: by this it is known again, because only its start moves.
    end: Vec<u8>,
    pub(crate) segment: Vec<u8>,
    /// The page that was read last, and those behind it.
    pub(crate) bounds: Vec<Vec<u8>>,
}

/// What every scan of a handle will want next, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Vec<Next>);

impl Ahead {
    /// Takes what is known of a scan, if its next request is one that it helps.
    pub(crate) fn take(&mut self, request: &ScanRequest) -> Option<Next> {
        let at = self.0.iter().position(|next| next.end == request.end)?;
        let next = self.0.remove(at);
        let helps = request.direction == Direction::Forward
            && request.max_rows >= ROWS
            && next.bounds.first().is_some_and(|bound| *bound <= request.start);
        helps.then_some(next)
    }

    /// Remembers what the server said of a scan.
    pub(crate) fn note(&mut self, request: &ScanRequest, hint: Option<&Value>) {
        let Some(Value::Array(hint)) = hint else { return };
        let mut texts = hint.iter().filter_map(|text| match text {
            Value::BulkString(text) => Some(text.clone()),
            _ => None,
        });
        let Some(segment) = texts.next() else { return };
        self.0.retain(|next| next.end != request.end);
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(Next { end: request.end.clone(), segment, bounds: texts.collect() });
    }
}
