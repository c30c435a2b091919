internal import HubCache
internal import Retention

/// Builds the storage graph of a cache: which revision and which leftover holds which bytes, over both hops and hard links.
struct StorageAccount {
    private(set) var graph = StorageGraph()
    private let store: StoreInventory
    private var payloads: [BytePath: StorageGraph.NodeID] = [:]
    /// Inodes with several names that were met: their node, how many names the inode has, how many are known.
    private var inodes: [FileKey: (node: StorageGraph.NodeID, names: Int, known: Int)] = [:]
    private var blobs: [BytePath: StorageGraph.NodeID] = [:]

    init(store: StoreInventory) { self.store = store }

    /// Adds the names in a repo's `blobs`.
    ///
    /// - Returns: their nodes, in the same order.
    mutating func addBlobs(of repo: RepoHoldings) -> [StorageGraph.NodeID] {
        var nodes: [StorageGraph.NodeID?] = Array(repeating: nil, count: repo.blobs.count)
        let places = Dictionary(uniqueKeysWithValues: repo.blobs.indices.map { (repo.blobs[$0].name, $0) })
        for index in repo.blobs.indices where nodes[index] == nil {
            // A blob that is a link to another holds that one: the end of the chain first.
            var chain = [index]
            while case .blob(let next) = repo.blobs[chain[chain.count - 1]].link, let place = places[next],
                nodes[place] == nil, !chain.contains(place)
            {
                chain.append(place)
            }
            for place in chain.reversed() {
                let blob = repo.blobs[place]
                var held: StorageGraph.NodeID?
                switch blob.link {
                case .payload(let name): held = payload(name)
                case .blob(let name): held = places[name].flatMap { nodes[$0] }
                case .elsewhere, .nothing, .outside, .unreadable, nil: held = nil
                }
                let node: StorageGraph.NodeID
                if blob.link == nil, blob.stat.kind == .regular, blob.stat.linkCount > 1 {
                    node = graph.add(bytes: 0, holding: name(of: blob.stat))
                } else {
                    node = graph.add(bytes: blob.stat.allocated, holding: held)
                }
                nodes[place] = node
                blobs[repo.folder.appending("blobs").appending(blob.name)] = node
            }
        }
        return nodes.compactMap(\.self)
    }

    /// The node of a payload of the shared store; nil when there is none.
    mutating func payload(_ name: BytePath) -> StorageGraph.NodeID? {
        if let known = payloads[name] { return known }
        guard let payload = store.payloads[name] else { return nil }
        // By the store's rules a payload without a readable manifest is kept for ever.
        let foreign = payload.hasManifest ? 0 : 1
        let node =
            payload.stat.linkCount > 1
            ? graph.add(bytes: 0, foreignHolders: foreign, holding: self.name(of: payload.stat))
            : graph.add(bytes: payload.stat.allocated, foreignHolders: foreign)
        payloads[name] = node
        return node
    }

    /// The nodes of several names of one file, for an item that has them all.
    mutating func nodes(ofNames count: Int, of stat: FileStat) -> [StorageGraph.NodeID] {
        (0..<count).map { _ in graph.add(bytes: 0, holding: name(of: stat)) }
    }

    /// Counts one more known name of an inode.
    private mutating func name(of stat: FileStat) -> StorageGraph.NodeID {
        var inode = inodes[stat.key] ?? (graph.add(bytes: stat.allocated), Int(stat.linkCount), 0)
        inode.known += 1
        inodes[stat.key] = inode
        return inode.node
    }

    /// Counts an item that holds a node.
    mutating func hold(_ node: StorageGraph.NodeID) { graph.addHolder(of: node) }

    /// Counts a link from another repo to a blob: it keeps the blob as far as one can tell.
    mutating func holdFromElsewhere(_ path: BytePath) {
        if let node = blobs[path] { graph.addForeignHolders(1, of: node) }
    }

    /// Counts a publication under way of a payload.
    mutating func holdForPublication(_ name: BytePath) {
        if let node = payload(name) { graph.addForeignHolders(1, of: node) }
    }

    /// The graph, when everything was added: names that were not met hold their inodes for ever.
    mutating func finish() -> StorageGraph {
        for inode in inodes.values where inode.names > inode.known {
            graph.addForeignHolders(inode.names - inode.known, of: inode.node)
        }
        return graph
    }
}
