"""Studies run and told: arms by seeds (`runs`), side by side (`schedule`), as tables (`tables`).

`zoo.core.study` has the values, `zoo.registry.STUDIES` the table of them.
"""
