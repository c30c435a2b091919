/// The name of a shard index: `*.index.json` or `*.index.<variant>.json` whose stem names a weight format.
///
/// The forms in use are `model.safetensors.index.json`, `model.safetensors.index.fp16.json` and the legacy
/// `model.safetensors.fp16.index.json`. `model_index.json` of diffusers is none.
public struct IndexFileName: Sendable, Hashable {
    /// The format of the shards, from the stem.
    public let format: WeightFormat
    /// The extension that the stem names, such as `safetensors`; shards of other extensions are not this index's.
    public let shardExtension: [UInt8]
    /// The variant, such as `fp16`.
    public let variant: [UInt8]?

    /// Reads a last path component; nil if it is not the name of an index.
    public init?(_ name: some Collection<UInt8>) {
        var parts = Array(name).split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count >= 4, parts.removeLast().elementsEqual("json".utf8) else { return nil }
        var variant: ArraySlice<UInt8>?
        if !(parts.last?.elementsEqual("index".utf8) ?? false) { variant = parts.removeLast() }
        guard parts.popLast()?.elementsEqual("index".utf8) ?? false else { return nil }
        // A file needs a name before its extension.
        guard let place = parts.dropFirst().lastIndex(where: { WeightFormat(extension: $0) != nil }) else { return nil }
        guard let format = WeightFormat(extension: parts[place]) else { return nil }
        if variant == nil, place + 1 < parts.count {
            variant = ArraySlice(parts[(place + 1)...].joined(separator: CollectionOfOne(UInt8(ascii: "."))))
        }
        guard variant?.isEmpty != true else { return nil }
        self.format = format
        shardExtension = Array(parts[place])
        self.variant = variant.map(Array.init)
    }

    /// Whether the names of index and shards are those of one set: the same prefix, variant and extension.
    ///
    /// - Parameter name: this name.
    public func isOfSet(_ set: ShardFileName.SetKey, name: some Collection<UInt8>) -> Bool {
        let dot = UInt8(ascii: ".")
        let suffix = (variant.map { [dot] + $0 } ?? []) + [dot] + shardExtension
        return set.suffix == suffix && name.starts(with: set.prefix + [dot])
    }
}
