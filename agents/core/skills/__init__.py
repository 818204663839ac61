"""Skills: playbooks that an agent reads when they are relevant, in the format of agentskills.io.

`skill.Skill` is one folder with a SKILL.md, `registry.SkillRegistry` those of one agent, `tools` what the model uses
them with. A model first sees names and descriptions, then the body of a skill it loads, then the files it asks for.
"""
