public import HubCache
public import HubClient
public import Preview

/// `hfjanitor.preview/1`. What is not known is left out.
public struct PreviewDocument: Encodable, Sendable {
    struct Access: Encodable, Sendable {
        var gated: String
        var isPrivate: Bool
        var disabled: Bool

        enum CodingKeys: String, CodingKey {
            case gated, disabled
            case isPrivate = "private"
        }
    }

    struct WeightSetDocument: Encodable, Sendable {
        var name: String
        var format: String
        var files: Int
        var bytes: UInt64
        var main: Bool
    }

    struct Parameters: Encodable, Sendable {
        var total: UInt64
        var byDtype: [String: UInt64]
        var estimated: Bool

        enum CodingKeys: String, CodingKey {
            case total, estimated
            case byDtype = "by_dtype"
        }
    }

    struct Model: Encodable, Sendable {
        var architectures: [String]
        var modelType: String?
        var contextLength: UInt64?
        var dtype: String?
        var quantization: String?
        var adapterType: String?
        var baseModel: String?

        enum CodingKeys: String, CodingKey {
            case architectures, dtype, quantization
            case modelType = "model_type"
            case contextLength = "context_length"
            case adapterType = "adapter_type"
            case baseModel = "base_model"
        }
    }

    struct CustomCode: Encodable, Sendable {
        var needed: Bool
        var pythonFiles: Int

        enum CodingKeys: String, CodingKey {
            case needed
            case pythonFiles = "python_files"
        }
    }

    struct Estimate: Encodable, Sendable {
        var weightsBytes: UInt64
        var bytes: UInt64
        var fitsRAM: Bool?
        var fitsRAMNow: Bool?
        var fitsOneGPU: Bool?
        var fitsAllGPUs: Bool?

        enum CodingKeys: String, CodingKey {
            case bytes
            case weightsBytes = "weights_bytes"
            case fitsRAM = "fits_ram"
            case fitsRAMNow = "fits_ram_now"
            case fitsOneGPU = "fits_one_gpu"
            case fitsAllGPUs = "fits_all_gpus"
        }
    }

    struct Memory: Encodable, Sendable {
        var overheadPercent = MemoryEstimate.overheadPercent
        var stored: Estimate?
        var fp16: Estimate?
        var int8: Estimate?
        var int4: Estimate?

        enum CodingKeys: String, CodingKey {
            case stored, fp16, int8, int4
            case overheadPercent = "overhead_percent"
        }
    }

    struct Disk: Encodable, Sendable {
        var cache: String
        var hereBytes: UInt64
        var missingBytes: UInt64
        var freeBytes: UInt64
        var floorBytes: UInt64
        var floor: String
        var fits: Bool

        enum CodingKeys: String, CodingKey {
            case cache, floor, fits
            case hereBytes = "here_bytes"
            case missingBytes = "missing_bytes"
            case freeBytes = "free_bytes"
            case floorBytes = "floor_bytes"
        }
    }

    struct RAM: Encodable, Sendable {
        var totalBytes: UInt64
        var availableBytes: UInt64
        var limitBytes: UInt64?

        enum CodingKeys: String, CodingKey {
            case totalBytes = "total_bytes"
            case availableBytes = "available_bytes"
            case limitBytes = "limit_bytes"
        }
    }

    struct GPU: Encodable, Sendable {
        var name: String
        var totalBytes: UInt64?
        var freeBytes: UInt64?

        enum CodingKeys: String, CodingKey {
            case name
            case totalBytes = "total_bytes"
            case freeBytes = "free_bytes"
        }
    }

    var schema = "hfjanitor.preview/1"
    var repo: String
    var revision: String
    var commit: String?
    var access: Access?
    var license: String?
    var files: Int?
    var bytes: UInt64?
    var weights: [WeightSetDocument]?
    var parameters: Parameters?
    var model: Model?
    var customCode: CustomCode?
    var memory: Memory?
    var disk: Disk?
    var ram: RAM?
    var gpus: [GPU]?
    var gpuBytes: UInt64?
    var notes: [String]?
    var errorCode: String?
    var errorMessage: String?

    enum CodingKeys: String, CodingKey {
        case schema, repo, revision, commit, access, license, files, bytes, weights, parameters, model, memory, disk,
            ram
        case gpus, notes
        case customCode = "custom_code"
        case gpuBytes = "gpu_bytes"
        case errorCode = "error_code"
        case errorMessage = "error_message"
    }

    /// When nothing is known but the failure.
    public init(_ id: RepoID, _ revision: String, code: HubErrorCode, message: String) {
        repo = id.description
        self.revision = revision
        errorCode = code.rawValue
        errorMessage = message
    }

    /// What was asked for, and what this machine has for it.
    public init(_ preview: RepoPreview, _ revision: String, _ room: PreviewRoom) {
        repo = preview.repo.description
        self.revision = revision
        commit = preview.info.commit.hex
        access = Access(
            gated: preview.info.gating.rawValue, isPrivate: preview.info.isPrivate, disabled: preview.info.isDisabled)
        license = preview.info.license
        files = preview.files.count
        bytes = preview.bytes
        weights = preview.sets.map { set in
            WeightSetDocument(
                name: set.name.text, format: set.formatName, files: set.files.count, bytes: set.bytes,
                main: preview.main.contains { $0.name == set.name })
        }
        parameters = preview.parameters.map {
            Parameters(total: $0.total, byDtype: $0.byType, estimated: $0.isEstimated)
        }
        let facts = preview.facts
        model = Model(
            architectures: facts.architectures, modelType: facts.modelType, contextLength: facts.contextLength,
            dtype: facts.dtype, quantization: facts.quantization, adapterType: facts.adapterType,
            baseModel: facts.baseModel)
        customCode = CustomCode(needed: preview.needsOwnCode, pythonFiles: preview.pythonFiles)
        memory = Self.memory(preview, room)
        disk = Disk(
            cache: room.cache.text, hereBytes: room.share.hereBytes, missingBytes: room.share.missingBytes,
            freeBytes: room.freeBytes, floorBytes: room.floorBytes, floor: room.floorName, fits: room.fitsOnDisk)
        ram = room.memory.map {
            RAM(totalBytes: $0.totalBytes, availableBytes: $0.availableBytes, limitBytes: $0.limitBytes)
        }
        if !room.graphics.isEmpty {
            gpus = room.graphics.map { GPU(name: $0.name, totalBytes: $0.totalBytes, freeBytes: $0.freeBytes) }
            gpuBytes = room.graphicsBytes
        }
        notes = preview.notes
        errorCode = preview.stop?.code.rawValue
        errorMessage = preview.stop?.description
    }

    private static func memory(_ preview: RepoPreview, _ room: PreviewRoom) -> Memory? {
        guard !preview.memory.isEmpty else { return nil }
        var memory = Memory()
        for estimate in preview.memory {
            let ram = room.fitsInMemory(estimate.bytes)
            let gpu = room.fitsInGraphics(estimate.bytes)
            let document = Estimate(
                weightsBytes: estimate.weightBytes, bytes: estimate.bytes, fitsRAM: ram?.ever, fitsRAMNow: ram?.now,
                fitsOneGPU: gpu?.one, fitsAllGPUs: gpu?.all)
            switch estimate.precision {
            case .stored: memory.stored = document
            case .fp16: memory.fp16 = document
            case .int8: memory.int8 = document
            case .int4: memory.int4 = document
            }
        }
        return memory
    }
}
