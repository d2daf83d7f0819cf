"""What a reasoner says when it checks, withdraws, plans, goes through cases or reasons from the goal: lists of phrases.

How a phrase is written, all in lower case:

    {a|b|}   either of these; an empty one leaves it out        #   a whole number
    ~        up to three words, each with its space             *   the word may go on
    ^        only where a sentence begins                       [ab], +, ?   as in a regular expression
    !in|out  at the end: not where one of these words follows
"""

from __future__ import annotations

from collections.abc import Mapping

_WAITED_FOR = "!for|until|till|time|times|at|in|there|here|list|on|staff|another|about|outside|a|to|is|was|and"
_RIGHT = "right|correct|consistent|reasonable|as expected|plausible|good"
_WRONG = (
    "not right|not correct|not quite right|not possible|not it|wrong|incorrect|impossible|a contradiction|a mistake"
    "|an error|too big|too small|too large|too high|too low|too much|invalid"
)

PHRASES: Mapping[str, tuple[str, ...]] = {
    "verification": (
        "{let me|let's|let us|i'll|i will|i should|i can|i want to|we can|we should|we'll|i need to|^to} "
        "{just |quickly |also |at least |now |}{check|verify|confirm|validate} !in|into|out|with the|availability|on",
        "{double|sanity|cross|spot|quick}{-| |}check*",
        "{re|re-}{check|verify|calculate|compute|count|derive|confirm|add}*",
        "^{verify|verifying|verification|check|checking|checks|testing it} !in|into|out|with|each|every|all|the pairs",
        "checking {this|that|my|our|the} {work|answer|result|calculation|solution|arithmetic|math}*",
        "{plug|plugging|put|putting|substitute|substituting|insert|inserting} "
        "~{back|back in|back into|in the original|into the original}",
        "{plug|plugging} {it|this|that|these|them|the value|the values} in*",
        "{is|does|do} {that|this|it} {right|correct|make sense|hold|work|check out|add up}? !for|because",
        "{that|this|it|everything|which|all} {all |really |indeed |}"
        "{makes sense|checks out|works out|adds up|holds up} !to",
        "{that|this|it|which}{'s| is| seems| looks| sounds} {indeed |}{" + _RIGHT + "} "
        "!angle|triangle|hand|side|to|for|change|number|news|at",
        "{that|this|which|it|result|answer|total} {indeed |}{matches|agrees|confirms} !for",
        "{this|it|which|result|answer|total} {indeed |}{is consistent with|satisfies}",
        "is consistent with",
        "{still|again} {get|gives|find|obtain|comes to|have}",
        "{a second time|same as before|same result|same answer|the same total}",
        "{once|one} more {time|check}",
        "just to be {safe|sure|certain|careful}",
        "{as|what} {i|we}{'d| would} {expect|hope}*",
        "{confirming|confirms} {the|that|this|it|our|my}",
        "{reassuring|so i trust|so i believe|so i'm confident|i am confident|i'm confident}",
        "{both sides|left side|left-hand side|right side} {agree|match|are equal|equal|equals|come out}*",
        "{test|see|check} whether ~{satisf|hold|work|fit}*",
        "{units|numbers|signs|digits|terms|totals} {work out|check out|match|agree}",
        "matches {the|our|my|what}",
        "{am i|are we} {sure|right|missing}",
        "{did i|have i} {make|miss|get|forget|made|missed|drop|lose|skip|confuse|count|use} !to|up",
        "{to|let me|let's} {make|be} sure",
        "as a check",
        "{is|are} # {really|indeed|actually} {correct|right}",
        "does # {meet|satisfy|fit|work|match|equal|hold}*",
        "{let me|let's} see {if|whether}",
        "{plausible|to be thorough|it holds true|holds true}",
        "{second|another|different|other|independent} {method|way|route|calculation} {also|too|gives|yields|confirms}",
        "brings {me|us} back to",
        "{if|when} {i|we} {insert|put|plug|substitute} {#|it|this|that|the}",
        "look at {#|it|this|that|the ~} ?{once more|again}",
        "{test|testing} {this|that|it|the answer|my answer|the result|the solution}",
    ),
    "backtracking": (
        "^{hold on|hang on} !to|for",
        "wait a {second|minute|moment}",
        "{that|this|it}{'s| is| was| can't be| cannot be} {" + _WRONG + "} !for|because|to",
        "{that|this|it|which} {can't|cannot|couldn't|isn't|is not} {be |}{right|correct|true|it|possible} "
        "!for|to|angle",
        "{that|this|it|which} {doesn't|does not|didn't|did not|won't|will not|wouldn't} "
        "{work|make sense|fit|match|hold|seem right|look right|seem correct|look correct|add up|help|equal|satisfy"
        "|lead|check out} !for|at|on|here",
        "{i|we}{ must have| have|'ve| may have| might have| think i| probably| actually|} "
        "{made a mistake|made an error|made a slip|made an arithmetic|miscounted|misread|miscalculated|misinterpreted"
        "|misunderstood|messed up|got that wrong|overlooked|forgot to|forgot that|forgot the}",
        "my {mistake|error|bad}",
        "i {mixed up|confused|meant|take that back|spoke too soon|jumped to|was wrong|stand corrected}",
        "{gives|is|get|have|reach|reached|leads to|yields} a contradiction",
        "{which|that|this|it} {can't be|cannot be} !more|less|done",
        "{another|a different|a new} {angle|perspective|viewpoint}",
        "{so|hence|therefore|thus} # {is|was} {impossible|ruled out|out|not possible}",
        "{oops|whoops|scratch that|strike that|never mind|nevermind|on second thought|correction:|dead end|no good}",
        "{let me|let's|i'll|i should|we should|i need to|i could|maybe} {try to |just |also |}"
        "{try again|start again|start over|start from scratch|try another|try a different|try something|try other"
        "|think again|look again|redo|rethink|reconsider|re-think|re-examine|re-evaluate|reexamine|revise|go back"
        "|back up|step back|backtrack|approach this differently|correct that|correct this|fix that|undo}",
        "{another|a different|some other|an alternative} {approach|way|method|strategy|route|tack} !to look|home",
        "{going back to|backtracking|backtrack|starting over|scrap that|discard this|discard that|abandon this}",
        "^{no|nope}, !thanks|thank|said|sir",
        "^{actually|well|hmm}, {no|that's not|that isn't|i|wait}",
        "{so |}{that|this|it} {fails|is out|is ruled out}",
        "{i|we|something} went wrong",
        "{line|step|result|answer|value|assumption|guess|sum|approach} {is|was} {wrong|false|out|off|not right}",
        "{forget|drop|abandon|discard|ditch|scrap|reject|throw away} {this|that|it|the idea|the assumption}",
        "{that|this|which|it} contradicts",
        "{leads|lead|led} {nowhere|us nowhere|me nowhere|to a contradiction}",
        "^not {quite|so fast}",
        "should have {been|used|written|taken|added|had}",
        "{have|need|had} to {undo|redo|revise|correct|retract}",
        "i used ~{where|instead|twice}",
    ),
    "subgoals": (
        "^{step|part|stage|subgoal|sub-goal|goal} #",
        "^{first|firstly|first of all|second|secondly|third|thirdly|next|then|now|finally|lastly|after that|from there}"
        "{,|} {i|we|let's|let me|let us|i'll|we'll|i'd|we'd} !both|all|had|has|went|bought|ate|were|are|was|give|gave",
        "{i|we} {first |now |next |then |}{need|have|want} to {find|determine|calculate|compute|figure out|work out"
        "|get|know|solve|establish|identify}",
        "the {first|next|second|third|final|last|remaining} "
        "{step|task|thing|part|subproblem|sub-problem|piece|goal} {is|to}",
        "{our|my|the} {goal|aim|plan|task|objective|strategy|approach} {here |now |}{is|will be} ![0-9]+",
        "{my|our|the} next {task|step|goal|job|target|thing|part} {is|will be}",
        "^next up",
        "{to begin with|to start with|to start off|before anything else},",
        "{let me|let's|i'll|we'll|i will} first",
        "{i'll|i will|let me|let's|we'll} {tackle|isolate|handle|deal with|turn to|focus on|set up}",
        "what {i|we} need {now|next|first}",
        "{i|we} {want|need} to {find|know|have} the {total|value|number|sum|part|length|area|first|second|last}",
        "{let's|let me|we can|i'll} {split|divide} the",
        "^{plan|the plan|my plan|approach|strategy|outline}:",
        "{break|breaking|split|splitting|divide|dividing|decompose|decomposing} "
        "{this|it|that|the problem|things|the question|the task|the computation|the expression} {down|up|into|in}",
        "{let's|let me|i'll|we'll|i will|we} {start|begin} {by|with}",
        "^{start|begin|starting|beginning} {by|with} {find|finding|comput|calculat}*",
        "{so |but |and |}first {i|we|let's|let me} {need|must|have|want|should|find|compute|calculate}",
        "{on|onward|moving on|move on|turning|turn} to the {next|second|third|last|final|other|remaining}",
        "{let me|let's|i'll|we'll|we can} now {move|turn|continue|go on|proceed}",
        "{let me|let's|i'll} {move on|turn|continue|go on|proceed} {to|with}",
        "{let me|let's|i'll|we'll} {calculate|compute|find|determine|work out|figure out|get}",
        "{two|three|four|several} {things|parts|steps|pieces|quantities} to "
        "{find|compute|work out|calculate|determine|do}",
        "{i|we} {now |}{must|have to} {find|determine|calculate|compute|figure out|work out|get|know}",
        "{i|we} {now need|need now}",
        "{once|when|after} {i|we} {have|know|get|find|found} {that|this|it|the|both|these|those}",
        "{before|until} {i|we} {can|could}",
        "{sub-problem|subproblem|sub-task|subtask|intermediate goal|intermediate step}*",
        "that leaves {us |me |}{with |}{finding|to find|the|computing}",
        "now {that i|that we|to find|to get|find|compute|calculate}",
    ),
    "enumeration": (
        "^{consider |in |take |}{case|option|possibility|candidate|scenario|attempt|trial} "
        "{#|[a-e]|one|two|three|[ivx]+}",
        "{first|second|third|fourth|last|other|another|next|remaining} "
        "{case|possibility|option|candidate|scenario|combination|choice}",
        "^{|let's |let me |i'll |i |we |now |next, |so |then }{try|trying|test|testing} {with |}"
        "{#|[a-z] ?= ?#|the pair|pairs}",
        "{listing|trying|testing|checking|considering|examining|enumerating|writing out} {every|each|all|both}",
        "^either",
        "^if {it|this|that|the number|the first|the second|the last} {is|was|were} #",
        "only {two|three|four|five|a few|#} {ways|choices|cases|options|possibilities}",
        "{one|first|second|another} {candidate|option|possibility} {is|would be|:}",
        "{one at a time|each in turn|in turn}",
        "{test|try|check|list|form|over|of} all {combinations|possibilities|pairs|cases|options}",
        "^{if|for|when|with|let|take|say|suppose} [a-z] ?= ?-?#",
        "{list|enumerate|go through|run through|loop over|walk through|consider|check|try|look at|examine} {out |}"
        "{all|each|every|both} {of |the |}{possib|case|option|candidate|combination|one|pair|way|choice|divisor|factor"
        "|value|number|scenario}*",
        "enumerat*",
        "{there are|there're|we have|i have|leaves|giving} {only |exactly |}"
        "{#|one|two|three|four|five|six|several|a few|many} {possib|case|option|candidate|combination|scenario}*",
        "possibilities {are|for|include|here}",
        "{one by one|case by case|by cases|trial and error|exhaustively|systematically}",
        "what if",
        "^suppose !that is",
        "^assume",
        "^{what|how} about",
        "^when [a-z] {is|=} ?#",
        "{list|go over|run through|check|try|consider} {the|every|each|all|all the|out the} "
        "{possib|choice|option|divisor|factor|candidate|case|combination|pair|value}*",
        "^{first|second|third|next|another|last} {try|attempt|guess}",
        "^we could {use|take|pick|try}",
        "{options|candidates|cases|combinations|pairs} {are|include|to consider|left}",
    ),
    "backward_chaining": (
        "{work|working|reason|reasoning|go|going|think|thinking|trace|tracing|step|stepping} "
        "{back|backward|backwards} from",
        "{work|working|reason|reasoning|think|thinking|solve|solving} {it |this |the problem |things |}"
        "{backward|backwards|in reverse}",
        "{start|starting|begin|beginning} {from|with|at} {the |our |my |}"
        "{target|goal|answer|end|result|conclusion|desired}",
        "to {get|reach|obtain|make|arrive at|end up with|end at|achieve|hit|have|land on} {to |}{a |the |exactly |}"
        "{#|target|goal|answer|total|result|final} ?,? ?~{i|we|it|you}{ would| will|'d|} "
        "{need|must|has to|have to|require}*",
        "{i|we}{'d| would|} need ~to {get|reach|obtain|make|hit|arrive at|end}",
        "for {this|that|it|the ~|both|them} ?to {be|hold|work|happen|equal|come out|reach|have}",
        "{must|has to|had to} {come|have come} from",
        "{going|looking} {back|backward|backwards}{,| from}",
        "missing {addend|factor|number|term|operand|value} {is|must}",
        "since the {result|answer|total|target|sum|final} ~{must|has to|should} be",
        "{what|which} {leads|led} {there|to}",
        "the {goal|target} is {to get |to reach |to make |}#",
        "what {number|value} {plus|times|minus|gives}",
        "in order {for|to} {get|reach|prove|show|conclude|have|end|the|this|that|make|obtain}",
        "what {would|do|must|should|could|number|value|operation} {i|we|it|there|would|must|could|gives|makes} ?"
        "{need|have|get|take|be|give|produce|i|we|to|}*",
        "if the {answer|result|final|target|total|end|last|sum|outcome} ~{is|was|were|must be|has to be|equals}",
        "the {last|final|preceding|previous} {operation|step|move|number|value} "
        "{must|has to|would|should|needs to|had to|could only}",
        "{reverse|reversing|undoing|inverting|unwind|unwinding} {the|each|every|this|that|these}",
        "it {suffices|is enough|would be enough|would suffice} to",
        "backward chain*",
        "how {can|could|do|might} {i|we|you} {make|get|reach|obtain|form} {#|the}",
        "{to|must|should|have to|has to} {end with|end at|finish at|finish with|end up at|land on} #",
        "the {target|goal} {minus|less|divided by|over|plus|times}",
        "{i|we}{'d| would} have to have",
        "^for # to",
        "from the end {to|back|towards}",
        "{one step|a step|the step} {earlier|before|back}",
    ),
}

# A `wait` that doesn't say what for: it withdraws, unless its sentence goes on to check something.
HESITATIONS = (
    "^wait " + _WAITED_FOR,
    "{but|oh|no|hmm|hmm,|so|ah|ok|okay|actually,|actually|uh}{,|} wait " + _WAITED_FOR,
)
