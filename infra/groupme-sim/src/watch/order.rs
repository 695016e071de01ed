//! The order of the parts of messages, as far as their labels, `(2/3):`, tell it.

use crate::finding::{Kind, Sight};

/// Messages that stay unfinished, because a part was refused for good, are forgotten when there are more.
const MOST: usize = 8;

/// A part's place.
#[derive(Clone, Copy)]
pub(super) struct Part {
    number: u32,
    of: u32,
}

/// The label at the beginning of a text, if there is one.
pub(super) fn part(text: &str) -> Option<Part> {
    let (label, _) = text.strip_prefix('(')?.split_once("):\n")?;
    let (number, of) = label.split_once('/')?;
    let part = Part { number: number.parse().ok()?, of: of.parse().ok()? };
    (part.number >= 1 && part.of >= 2 && part.number <= part.of).then_some(part)
}

/// A message of which some parts have come.
struct Begun {
    of: u32,
    /// The part that is due.
    next: u32,
    /// The text of the last part that came.
    last: String,
    /// A message came between its parts; told once.
    interrupted: bool,
    /// One that it had come between went on before it was complete itself.
    outrun: bool,
}

/// The messages that are not complete, the newest last.
#[derive(Default)]
pub(super) struct Order {
    begun: Vec<Begun>,
    any: bool,
}

impl Order {
    /// A post without a label.
    pub(super) fn other(&mut self) -> Option<Sight> {
        self.any = true;
        self.interrupt()
    }

    /// Something else comes while a message is incomplete.
    fn interrupt(&mut self) -> Option<Sight> {
        let open = self.begun.last_mut().filter(|open| !open.interrupted)?;
        open.interrupted = true;
        let (next, of) = (open.next, open.of);
        let what = format!("Came before part {next} of {of} of another message: right only if its priority is higher.");
        Some(Sight::notice(Kind::Order, what))
    }

    /// A post with a label.
    pub(super) fn part(&mut self, part: Part, text: &str) -> Option<Sight> {
        let Part { number, of } = part;
        let first = !std::mem::replace(&mut self.any, true);
        if let Some(open) = self.begun.last()
            && open.of == of
            && open.last == text
        {
            let what = format!("Part {number} of {of} came twice.");
            return Some(Sight::fault(Kind::Double, what));
        }
        if number == 1 {
            let sight = self.interrupt();
            self.begin(of, 2, text);
            return sight;
        }
        // Of two messages with as many parts the one that came between goes on first.
        if let Some(at) = self.begun.iter().rposition(|open| open.of == of && open.next == number) {
            return self.go_on(at, text);
        }
        let due = self.begun.iter().rposition(|open| open.of == of);
        let what = match due {
            Some(at) => {
                let due = std::mem::replace(&mut self.begun[at].next, number);
                self.go_on(at, text);
                format!("Part {number} of {of} came where part {due} was due.")
            }
            None => {
                self.begin(of, number + 1, text);
                format!("Part {number} of {of} came without the parts before it.")
            }
        };
        // The first that a simulator sees may be the rest of what another one saw begin.
        Some(if first { Sight::notice(Kind::Order, what) } else { Sight::fault(Kind::Order, what) })
    }

    fn begin(&mut self, of: u32, next: u32, text: &str) {
        if next > of {
            return;
        }
        if self.begun.len() == MOST {
            self.begun.remove(0);
        }
        self.begun.push(Begun { of, next, last: text.to_owned(), interrupted: false, outrun: false });
    }

    /// The due part of the message at this place has come. Those that had come between it are not complete: such a one
    /// may have failed, but if it goes on later, two messages are mixed.
    fn go_on(&mut self, at: usize, text: &str) -> Option<Sight> {
        let mixed = self.begun[at].outrun;
        self.begun[at + 1..].iter_mut().for_each(|open| open.outrun = true);
        let open = &mut self.begun[at];
        open.next += 1;
        text.clone_into(&mut open.last);
        (open.interrupted, open.outrun) = (false, false);
        let (number, of) = (open.next - 1, open.of);
        if open.next > open.of {
            self.begun.remove(at);
        }
        mixed.then(|| Sight::fault(Kind::Order, format!("Part {number} of {of}: the parts of two messages are mixed.")))
    }
}
