import Tensors

/// The element type of a storage.
enum StorageType: Sendable, Equatable {
    case elements(DType)
    /// Bytes, which a tensor gives a type of its own.
    case untyped
}

/// The classes and functions of Python that a pickle of weights may name, and what this reader takes them for. None of them is ever called.
enum PickleGlobal: Sendable, Equatable {
    case orderedDictionary
    /// Makes a tensor of storage, offset, size, stride.
    case rebuildTensor
    /// The same with an element type of its own.
    case rebuildTypedTensor
    /// A tensor and two things about training.
    case rebuildParameter
    /// The same, with attributes that Python code had put on it.
    case rebuildParameterWithState
    /// A function of these, and what to give it.
    case rebuildFromType
    case tensorClass
    case storage(StorageType)
    case elementType(DType)
    case size
    /// Part of a random generator's state or of a logged number; its object is a placeholder.
    case inert

    /// What `module name` stands for; nil for what is on no list.
    init?(module: String, name: String) {
        switch module {
        case "collections" where name == "OrderedDict": self = .orderedDictionary
        case "torch._utils":
            switch name {
            case "_rebuild_tensor_v2": self = .rebuildTensor
            case "_rebuild_tensor_v3": self = .rebuildTypedTensor
            case "_rebuild_parameter": self = .rebuildParameter
            case "_rebuild_parameter_with_state": self = .rebuildParameterWithState
            default: return nil
            }
        case "torch._tensor" where name == "_rebuild_from_type_v2": self = .rebuildFromType
        case "torch.storage" where name == "UntypedStorage": self = .storage(.untyped)
        case "torch":
            if let type = Self.storageTypes[name] {
                self = .storage(.elements(type))
            } else if let type = Self.elementTypes[name] {
                self = .elementType(type)
            } else {
                switch name {
                case "Tensor": self = .tensorClass
                case "Size": self = .size
                case "device": self = .inert
                default: return nil
                }
            }
        case "numpy.core.multiarray", "numpy._core.multiarray": if ["_reconstruct", "scalar"].contains(name) { self = .inert } else { return nil }
        case "numpy": if ["ndarray", "dtype"].contains(name) { self = .inert } else { return nil }
        case "_codecs" where name == "encode": self = .inert
        case "__builtin__", "builtins": if ["bytearray", "set", "complex"].contains(name) { self = .inert } else { return nil }
        default: return nil
        }
    }

    private static let storageTypes: [String: DType] = [
        "FloatStorage": .f32, "HalfStorage": .f16, "BFloat16Storage": .bf16, "DoubleStorage": .f64, "LongStorage": .i64, "IntStorage": .i32,
        "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8, "BoolStorage": .bool,
    ]

    private static let elementTypes: [String: DType] = [
        "float32": .f32, "float16": .f16, "bfloat16": .bf16, "float64": .f64, "int64": .i64, "int32": .i32, "int16": .i16, "int8": .i8, "uint8": .u8,
        "bool": .bool, "uint16": .u16, "uint32": .u32, "uint64": .u64, "float8_e4m3fn": .f8e4m3, "float8_e5m2": .f8e5m2,
    ]

    /// What to do about a name that is on no list.
    static func advice(module: String, name: String) -> String {
        if name.hasPrefix("Complex") || name.hasPrefix("Q") && name.hasSuffix("Storage") || name == "_rebuild_qtensor" {
            return "complex and quantized tensors are not weights here; save the weights as float32, float16 or bfloat16"
        }
        if name == "_rebuild_sparse_tensor" { return "sparse tensors are not read; save them with to_dense()" }
        if name == "_rebuild_meta_tensor_no_storage" { return "a meta tensor has no values; save the loaded model" }
        if module.hasPrefix("torch.distributed") || name == "_rebuild_wrapper_subclass" {
            return "a distributed or wrapped tensor is not read; save full_tensor() of each, or consolidate the checkpoint"
        }
        return TorchFileError.saveWeights
    }
}
