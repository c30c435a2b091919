extension UInt64 {
    /// The sum, or the largest number there is.
    package func addingUpTo(_ other: UInt64) -> UInt64 {
        let (sum, isOverflow) = addingReportingOverflow(other)
        return isOverflow ? .max : sum
    }

    /// The product, or the largest number there is.
    package func timesUpTo(_ other: UInt64) -> UInt64 {
        let (product, isOverflow) = multipliedReportingOverflow(by: other)
        return isOverflow ? .max : product
    }
}
