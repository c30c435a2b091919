/// What a sound zip archive says about itself as a torch file.
public struct TorchZipSummary: Sendable, Equatable {
    /// Entries of the archive.
    public let entryCount: UInt64
    /// The folder that every entry is under, if there is one.
    public let topFolder: [UInt8]?
    /// Whether the archive has the shape of a torch file: everything under one folder, with `data.pkl` in it.
    ///
    /// A zip file that has not is sound all the same; its name promised too much.
    public let isTorchArchive: Bool
    /// Whether it has `code/` or `constants.pkl` too, as TorchScript writes.
    public let isTorchScript: Bool
    /// Entries under `data/`: one for each storage.
    public let storageCount: UInt64
    /// Whether every entry is stored without compression, as torch writes.
    public let isStored: Bool
    /// Bytes of all entries as they are in the file.
    public let dataBytes: UInt64
}
