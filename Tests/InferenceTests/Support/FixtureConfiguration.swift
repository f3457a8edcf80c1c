import Files
import Inference
import StrictJSON
import TestKit

/// The configuration files of a checkpoint below Tests/Fixtures.
enum FixtureConfiguration {
    static func json(_ folder: String, _ name: String) throws -> JSONValue {
        let file = name == "scheduler" ? "scheduler_config.json" : "config.json"
        return try JSONValue.parse(try InputFile(path: Paths.join(folder, "\(name)/\(file)")).contents(limit: 1 << 20))
    }

    static func read(_ fixture: String) throws -> SanaSprintConfiguration {
        let folder = Fixtures.path(fixture)
        return try SanaSprintConfiguration(
            Dictionary(
                uniqueKeysWithValues: SanaSprintConfiguration.folders(of: Component.allCases.filter { $0 != .controlnet }).map { ($0, try json(folder, $0)) }))
    }
}
