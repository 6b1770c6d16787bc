//! Which node has which slot, as one node knows it: the text of CLUSTER NODES, read.
//!
//! That text alone has all that is wanted: owners, the epoch under which each node owns its slots, and addresses. A line
//! of it:
//!
//! ```text
//!   <id> <ip:port@bus-port[,name[,...]]> <flag,flag,...> <primary's id or -> <ping> <pong> <epoch> <link> <slot> ...
//!   07c37df...f0e5 127.0.0.1:30004@40004 slave 6ec2392...5a8e 0 1426238317239 4 connected
//!   6ec2392...5a8e 127.0.0.1:30001@40001 myself,master - 0 0 1 connected 0-5460 7000 [93-<-292f8b3...0c1f]
//! ```
//!
//! Marks in brackets are slots that are on their way, of the node itself only: `[93->-<id>]` to that node, `[93-<-<id>]` from
//! it. Who owns one until it has moved is told by the ranges.

use std::fmt;
use std::str::FromStr;

/// What a node is called: 40 hexadecimal digits, without an end mark.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; NodeId::BYTES]);

impl NodeId {
    /// Bytes of a name.
    pub const BYTES: usize = 40;

    /// The name in these bytes; `None` if they are of another length.
    pub fn new(bytes: &[u8]) -> Option<NodeId> {
        bytes.try_into().ok().map(NodeId)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; NodeId::BYTES] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            let shown = if byte.is_ascii_graphic() { byte } else { b'?' };
            write!(f, "{}", char::from(shown))?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A node, as another one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// `ip:port`, for people.
    pub address: String,
    /// Where it listens to other nodes; 0 if that is not known.
    pub bus_port: u16,
    /// The epoch under which it owns its slots: it grows whenever ownership changes hands.
    pub epoch: u64,
    /// Whether it is a replica.
    pub is_replica: bool,
    /// Whether messages can be sent to it: it has met this node and has an address.
    pub is_known: bool,
}

/// The whole cluster, as one node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    nodes: Vec<Node>,
    me: Option<usize>,
    /// First and last slot and the place of their owner; ascending.
    ranges: Vec<(u16, u16, usize)>,
    /// Slots that the node is giving away, and to whom.
    leaving: Vec<(u16, NodeId)>,
    /// Slots that it is getting, and from whom.
    coming: Vec<(u16, NodeId)>,
}

impl Map {
    /// Reads the text. A line that makes no sense is left out, and a slot that nobody is said to own is nobody's.
    pub fn parse(text: &str) -> Map {
        let mut map = Map::default();
        for line in text.lines() {
            map.read_line(line);
        }
        map.ranges.sort_unstable();
        map
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let id = NodeId::new(words.next()?.as_bytes())?;
        let address = words.next()?;
        let flags: Vec<&str> = words.next()?.split(',').collect();
        let epoch = words.nth(3)?.parse().ok()?;
        // The state of the link.
        words.next()?;
        let (address, bus_port) = match address.split_once('@') {
            Some((address, bus)) => (address, bus.split(',').next()?.parse().unwrap_or(0)),
            None => (address, 0),
        };
        let has = |flag: &str| flags.contains(&flag);
        let place = self.nodes.len();
        self.nodes.push(Node {
            id,
            address: address.to_owned(),
            bus_port,
            epoch,
            is_replica: has("slave"),
            is_known: !has("handshake") && !has("noaddr"),
        });
        if has("myself") {
            self.me = Some(place);
        }
        for word in words {
            if let Some((first, last)) = range(word) {
                self.ranges.push((first, last, place));
            } else if has("myself") {
                self.leaving.extend(mark(word, "->-"));
                self.coming.extend(mark(word, "-<-"));
            }
        }
        Some(())
    }

    /// All nodes, the one whose map this is among them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node whose map this is.
    pub fn me(&self) -> Option<&Node> {
        self.me.map(|place| &self.nodes[place])
    }

    /// The node of this name.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// To whom the node is giving a slot of its own, key by key.
    pub fn target(&self, slot: u16) -> Option<NodeId> {
        let owner = self.owner(slot).map(|owner| owner.id);
        if owner.is_none() || owner != self.me().map(|me| me.id) {
            return None;
        }
        let mark = self.leaving.iter().find(|(leaving, _)| *leaving == slot);
        mark.map(|(_, target)| *target)
    }

    /// From whom the node is getting a slot, key by key.
    pub fn source(&self, slot: u16) -> Option<NodeId> {
        let mark = self.coming.iter().find(|(coming, _)| *coming == slot);
        mark.map(|(_, source)| *source)
    }

    /// Who owns a slot.
    pub fn owner(&self, slot: u16) -> Option<&Node> {
        let behind = self.ranges.partition_point(|range| range.0 <= slot);
        let &(_, last, place) = self.ranges[..behind].last()?;
        (slot <= last).then(|| &self.nodes[place])
    }
}

/// `12` or `12-34`; `None` for a mark.
fn range(word: &str) -> Option<(u16, u16)> {
    let slot = |text: &str| {
        u16::from_str(text)
            .ok()
            .filter(|&slot| usize::from(slot) < super::slot::SLOTS)
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (slot(first)?, slot(last)?);
    (first <= last).then_some((first, last))
}

/// The slot and the node of a mark with this arrow; `None` for anything else.
fn mark(word: &str, arrow: &str) -> Option<(u16, NodeId)> {
    let (slot, node) = word
        .strip_prefix('[')?
        .strip_suffix(']')?
        .split_once(arrow)?;
    let slot = u16::from_str(slot).ok()?;
    let is_slot = usize::from(slot) < super::slot::SLOTS;
    Some((slot, NodeId::new(node.as_bytes()).filter(|_| is_slot)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(byte: u8) -> String {
        String::from_utf8(vec![byte; NodeId::BYTES]).unwrap()
    }

    fn text() -> String {
        let [a, b, c] = [b'a', b'b', b'c'].map(id);
        format!(
            "{a} 10.0.0.1:7000@17000,host,shard-id=1 master - 0 1426238316232 2 connected 5461-10922 16000\n\
             {b} 10.0.0.2:7001@17001 slave {a} 0 1426238317239 4 connected\n\
             {c} 10.0.0.3:7002@17002 myself,master - 0 0 7 connected 0-5460 10923-15999 [93-<-{a}] [12->-{b}]\n"
        )
    }

    #[test]
    fn owners_epochs_and_addresses_are_read() {
        let map = Map::parse(&text());
        assert_eq!(map.nodes().len(), 3);
        let me = map.me().unwrap();
        assert_eq!((me.epoch, me.bus_port, me.is_replica), (7, 17002, false));
        assert_eq!(me.address, "10.0.0.3:7002");
        assert!(map.nodes()[1].is_replica);
        for (slot, owner) in [
            (0, 2),
            (93, 2),
            (5460, 2),
            (5461, 0),
            (10922, 0),
            (15999, 2),
            (16000, 0),
        ] {
            assert_eq!(map.owner(slot).unwrap().id, map.nodes()[owner].id, "{slot}");
        }
        for nobody in [16001, 16383] {
            assert_eq!(map.owner(nobody), None);
        }
        assert_eq!(map.node(&me.id), Some(me));
    }

    #[test]
    fn a_node_that_is_only_being_met_cannot_be_asked() {
        let map = Map::parse(&format!(
            "{} :0@0 handshake - 0 0 0 disconnected\n",
            id(b'x')
        ));
        assert!(!map.nodes()[0].is_known);
        assert_eq!(map.me(), None);
    }

    proptest! {
        /// Any text is a map of some kind; what is cut off is left out.
        #[test]
        fn any_text_is_read(at in 0usize..500, by in "[ -~\n]{0,20}") {
            let mut damaged = text();
            let at = at.min(damaged.len());
            damaged.truncate(at);
            damaged += &by;
            let map = Map::parse(&damaged);
            for slot in [0, 93, 5461, 16383] {
                let _ = map.owner(slot);
            }
        }
    }
}
