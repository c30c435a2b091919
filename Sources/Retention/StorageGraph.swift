/// Who holds which bytes of a cache: what removing something really gives back.
///
/// A node is something that takes space and goes when nobody holds it any more: a blob's name, a payload of the shared store,
/// an inode. It is held by items (revisions, files) and by other nodes: a blob that is a link holds the payload, a name holds its
/// inode. A node holds at most one other. What holds a node and is not known here (a hard link from elsewhere, a payload
/// without a manifest) counts as one more holder, which never lets go.
public struct StorageGraph: Sendable {
    /// A node.
    public struct NodeID: Sendable, Hashable {
        fileprivate var index: Int32
    }

    fileprivate var bytes: [UInt64] = []
    fileprivate var holders: [Int32] = []
    fileprivate var next: [Int32] = []

    /// Makes an empty graph.
    public init() {}

    /// Adds something that takes space.
    ///
    /// - Parameters:
    ///   - bytes: what it takes on the disk by itself.
    ///   - foreignHolders: how many hold it that will never let go as far as is known here.
    ///   - held: what it holds.
    public mutating func add(bytes: UInt64, foreignHolders: Int = 0, holding held: NodeID? = nil) -> NodeID {
        self.bytes.append(bytes)
        holders.append(Int32(clamping: foreignHolders))
        next.append(held?.index ?? -1)
        if let held { holders[Int(held.index)] += 1 }
        return NodeID(index: Int32(self.bytes.count - 1))
    }

    /// Counts an item that holds a node.
    public mutating func addHolder(of node: NodeID) { holders[Int(node.index)] += 1 }

    /// Adds holders that will never let go.
    public mutating func addForeignHolders(_ count: Int, of node: NodeID) {
        holders[Int(node.index)] = Int32(clamping: Int(holders[Int(node.index)]) + count)
    }

    /// Begins to let go of things.
    public func release() -> StorageRelease { StorageRelease(graph: self) }
}

extension StorageGraph {
    /// What a node takes on the disk by itself, in bytes.
    func bytes(of node: NodeID) -> UInt64 { bytes[Int(node.index)] }

    /// Calls for each node and everything that it holds in turn. What several of them hold is named several times.
    func forEachHeld(by nodes: some Sequence<NodeID>, _ body: (NodeID) -> Void) {
        for node in nodes {
            var index = node.index
            while index >= 0 {
                body(NodeID(index: index))
                index = next[Int(index)]
            }
        }
    }
}

/// What is left of a graph while items let go, one after the other.
public struct StorageRelease: Sendable {
    private let graph: StorageGraph
    private var holders: [Int32]

    fileprivate init(graph: StorageGraph) {
        self.graph = graph
        holders = graph.holders
    }

    /// Lets an item's holds go.
    ///
    /// - Returns: the bytes on the disk that this gives back.
    public mutating func release(_ nodes: some Sequence<StorageGraph.NodeID>) -> UInt64 {
        var freed: UInt64 = 0
        for node in nodes {
            var index = Int(node.index)
            while index >= 0 {
                holders[index] -= 1
                guard holders[index] == 0 else { break }
                freed &+= graph.bytes[index]
                index = Int(graph.next[index])
            }
        }
        return freed
    }

    /// Lets an item's holds go, and names what this frees and takes space.
    mutating func release(_ nodes: some Sequence<StorageGraph.NodeID>, freeing: inout [StorageGraph.NodeID]) -> UInt64 {
        var freed: UInt64 = 0
        for node in nodes {
            var index = Int(node.index)
            while index >= 0 {
                holders[index] -= 1
                guard holders[index] == 0 else { break }
                if graph.bytes[index] > 0 {
                    freed &+= graph.bytes[index]
                    freeing.append(StorageGraph.NodeID(index: Int32(index)))
                }
                index = Int(graph.next[index])
            }
        }
        return freed
    }

    /// Takes a release back.
    public mutating func restore(_ nodes: some Sequence<StorageGraph.NodeID>) {
        for node in nodes {
            var index = Int(node.index)
            while index >= 0 {
                holders[index] += 1
                guard holders[index] == 1 else { break }
                index = Int(graph.next[index])
            }
        }
    }

    /// Whether nobody holds it any more.
    func isFree(_ node: StorageGraph.NodeID) -> Bool { holders[Int(node.index)] <= 0 }

    /// The bytes that letting these go would give back.
    public func freed(by nodes: some Sequence<StorageGraph.NodeID>) -> UInt64 {
        // Undone by hand: a copy of the whole for each question would make a plan quadratic.
        var changed: [Int: Int32] = [:]
        var freed: UInt64 = 0
        for node in nodes {
            var index = Int(node.index)
            while index >= 0 {
                let left = (changed[index] ?? holders[index]) - 1
                changed[index] = left
                guard left == 0 else { break }
                freed &+= graph.bytes[index]
                index = Int(graph.next[index])
            }
        }
        return freed
    }
}
