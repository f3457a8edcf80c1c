"""JSON files that read the same whatever the locale: everything above ASCII is escaped."""
import json


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path, value, **options):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=True, **options)
        file.write("\n")
