"""Content rules in YARA: over what was said in connections, files that were transferred in them, and files in evidence.

The engine is YARA-X (optional extra ``yara``).  Rules are the user's; nothing of a content is executed.
"""

from casemate.detect.content.yara_rules import CompiledRules, RuleState, compile_rules, read_rule_sources

__all__ = ["CompiledRules", "RuleState", "compile_rules", "read_rule_sources"]
