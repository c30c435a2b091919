internal import HubCache

/// How many numbers a model's weights are.
public struct ParameterCount: Sendable, Hashable {
    /// Elements by the type they are stored in, by the names of the format.
    public var byType: [String: UInt64] = [:]
    /// Whether they are derived from the files' sizes and not read from their headers.
    public var isEstimated = false
    /// Bytes of the tensors as they are stored.
    public var storedBytes: UInt64 = 0

    /// None.
    public init() {}

    /// All elements, whatever their type.
    public var total: UInt64 { byType.values.reduce(0) { $0.addingUpTo($1) } }

    mutating func add(_ elements: UInt64, _ type: String) {
        byType[type] = (byType[type] ?? 0).addingUpTo(elements)
    }

    mutating func add(_ other: ParameterCount) {
        for (type, elements) in other.byType { add(elements, type) }
        isEstimated = isEstimated || other.isEstimated
        storedBytes = storedBytes.addingUpTo(other.storedBytes)
    }

    /// Bytes of the types that configurations name; torch's own default where none is named.
    private static let typeBytes: [String: UInt64] = [
        "float64": 8, "double": 8, "float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "int8": 1,
        "uint8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
    ]

    /// An estimate for files whose headers do not tell: their size by that of the configuration's type.
    static func estimated(bytes: UInt64, dtype: String?) -> ParameterCount {
        var count = ParameterCount()
        let known = dtype.flatMap { typeBytes[$0] == nil ? nil : $0 } ?? "float32"
        count.add(bytes / (typeBytes[known] ?? 4), known)
        count.isEstimated = true
        count.storedBytes = bytes
        return count
    }

    /// How many weights the model has when it is not quantised.
    ///
    /// Types that quantisers pack several weights into count as many as fit.
    ///
    /// - Returns: nil where the types pack weights and nothing says how many bits each has.
    func weights(_ facts: ModelFacts) -> UInt64? {
        guard facts.quantization != nil else { return total }
        var weights: UInt64 = 0
        for (type, elements) in byType {
            guard let bits = Self.packedBits[type] else {
                weights = weights.addingUpTo(elements)
                continue
            }
            guard let own = facts.quantizedBits, (1...64).contains(own) else { return nil }
            let (product, isOverflow) = elements.multipliedReportingOverflow(by: bits)
            weights = weights.addingUpTo(isOverflow ? .max : product / own)
        }
        return weights
    }

    /// Bits of the types that weights are packed into.
    private static let packedBits: [String: UInt64] = ["I32": 32, "U32": 32, "I16": 16, "U8": 8, "I8": 8]
}

/// What a model takes once it is loaded: an estimate.
public struct MemoryEstimate: Sendable, Hashable {
    /// A precision.
    public enum Precision: String, Sendable, Hashable, CaseIterable {
        /// As its files have it.
        case stored
        /// Two bytes a weight.
        case fp16
        /// One byte a weight.
        case int8
        /// Half a byte a weight.
        case int4
    }

    /// What is added to the weights, in percent of them: activations, buffers, the runtime. Not the key-value cache,
    /// which grows with contexts and users.
    public static let overheadPercent: UInt64 = 20

    /// At which precision.
    public var precision: Precision
    /// The weights alone.
    public var weightBytes: UInt64

    /// The weights and the overhead.
    public var bytes: UInt64 {
        let overhead = weightBytes / 100 * Self.overheadPercent + weightBytes % 100 * Self.overheadPercent / 100
        return weightBytes.addingUpTo(overhead)
    }

    /// The estimates for a model, in order of precisions; without those that cannot be told.
    static func all(_ count: ParameterCount, _ facts: ModelFacts) -> [MemoryEstimate] {
        var estimates = [MemoryEstimate(precision: .stored, weightBytes: count.storedBytes)]
        guard let weights = count.weights(facts) else { return estimates }
        estimates.append(MemoryEstimate(precision: .fp16, weightBytes: weights.timesUpTo(2)))
        estimates.append(MemoryEstimate(precision: .int8, weightBytes: weights))
        estimates.append(MemoryEstimate(precision: .int4, weightBytes: weights / 2 + weights % 2))
        return estimates
    }
}
